"""Comparing a text answer with its references: exact match, token F1, shape."""

import re
from collections import Counter
from collections.abc import Callable, Sequence

from msgspec import Struct

from brewslm.refusals import PHRASES, WINDOW_CHARACTERS
from brewslm.tasks.metric import Metric, mean, proportion
from brewslm.tasks.normalisers import NORMALISERS

_LIST_LINE = re.compile(r"^\s*(?:[-*+•]|\d+[.)])\s+\S", re.MULTILINE)
_FILLERS = re.compile(
    r"(?:(?:unfortunately|regrettably|(?:my )?apologies|i apologi[sz]e(?: for [^,.\n]*)?|"
    r"i regret(?: to say)?|i'?m afraid|i am afraid|dear \w+|hello|hi|oh|hmm|well|no)[,.!:]? |"
    r"but |that )*"
)
_REFUSALS = re.compile(
    r"(?:(?:i'?m |i am |we'?re |we are )?(?:very |so |truly |really )?sorry\b"
    r"(?!,? (?:to hear|to learn|for|about|you|your|that you|that your|this|it))|"
    r"as an? (?:ai|(?:large )?language model)\b|i can ?not\b|i can'?t\b|"
    r"i(?: won'?t| will not|(?: must| have to| will(?: have to)?|'?ll(?: have to)?)?"
    r" (?:decline|refuse)| would (?:rather|prefer) not|'?d (?:rather|prefer) not)\b|"
    r"i(?:'?m| am) not (?:able|allowed|permitted|comfortable|programmed|designed)\b|"
    r"i(?:'?m| am) unable\b|i (?:don'?t|do not) (?:know\b|feel comfortable\b|think i can\b)|"
    r"i(?:'?m| am) (?:just |only )?an? (?:ai|assistant|language model)\b[^.\n]*\b(?:not|can'?t)\b|"
    r"(?:i|we) (?:don'?t|do not) have (?:any |enough |that |this |the |sufficient )?"
    r"(?:information|context|access|knowledge|(?:an )?answer)\b|"
    r"(?:i|we) have no (?:idea|information|answer|access|knowledge)\b|"
    r"(?:i|we) (?:could|should|would)(?: not|n'?t)"
    r" (?:answer|assist|comply|find (?:an|any|the) answer|help|say)\b|"
    r"i was(?: not able|n'?t able| unable) to (?:answer|help|assist|find (?:an|any|the) answer)\b|"
    r"we (?:can ?not|can'?t|are (?:not able|unable) to|won'?t|will not)"
    r" (?:answer|help|assist|comply)\b|"
    r"(?:this|that|it)(?:'s| is) not (?:something|one) (?:that )?(?:i|we)\b|"
    r"it(?:'s| is| would be) (?:not possible|impossible|inappropriate)(?: for (?:me|us))?"
    r" to (?:answer|classify|determine|help|judge|know|say|tell)\b|"
    r"(?:can ?not|can'?t|unable to) (?:answer|assist|classify|comply|determine|help|say|tell)\b|"
    r"request (?:denied|refused)\b|"
    r"my (?:guidelines|policies|policy|rules) do(?:es)?(?: not|n'?t) (?:allow|permit)\b)"
)
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)|\n")
_LEADING_MARKS = re.compile(r"^[\W_]+")


class TextMatch(Struct, frozen=True):
    """How an answer compares with the reference that fits it best."""

    exact: float
    f1: float
    precision: float
    recall: float


def text_match(output: str, references: Sequence[str], normaliser: str) -> TextMatch:
    """Return the best exact match and the best token F1 over the references.

    Source: Rajpurkar et al., SQuAD: 100,000+ Questions for Machine Comprehension of Text (2016).
    """
    normal_form = NORMALISERS[normaliser]
    predicted = normal_form(output)
    golds = [normal_form(reference) for reference in references]
    best = max((token_overlap(predicted.split(), gold.split()) for gold in golds), default=_NONE)
    f1, precision, recall = best
    return TextMatch(float(any(predicted == gold for gold in golds)), f1, precision, recall)


def token_overlap(predicted: list[str], gold: list[str]) -> tuple[float, float, float]:
    """Return F1, precision and recall of two multisets of tokens; both empty is a match."""
    if not predicted or not gold:
        same = float(predicted == gold)
        return same, same, same
    common = sum((Counter(predicted) & Counter(gold)).values())
    return (
        2 * common / (len(predicted) + len(gold)),
        common / len(predicted),
        common / len(gold),
    )


_NONE = (0.0, 0.0, 0.0)


def text_metrics(normaliser: str = "words") -> list[Metric]:
    """Return the metrics of a text answer."""
    return [
        proportion(
            "exact_match",
            "exact",
            "share of answers equal to a reference",
            normaliser=normaliser,
            synonyms=("accuracy",),
        ),
        mean("f1", "f1", "mean token F1 with the best reference", normaliser=normaliser),
        mean("precision", "precision", "mean share of answer tokens", normaliser=normaliser),
        mean("recall", "recall", "mean share of reference tokens", normaliser=normaliser),
    ]


def match_counts(match: TextMatch) -> dict[str, float]:
    """Return the counts that `text_metrics` sum."""
    return {
        "exact": match.exact,
        "f1": match.f1,
        "precision": match.precision,
        "recall": match.recall,
    }


def is_refusal(text: str) -> bool:
    """Return whether a text begins by declining to answer, whatever follows."""
    start = _LEADING_MARKS.sub("", text[:WINDOW_CHARACTERS]).lower().replace("\u2019", "'")
    filler = _FILLERS.match(start)
    start = start[filler.end() :] if filler else start
    sentence = _SENTENCE_END.split(start, maxsplit=1)[0]
    return bool(_REFUSALS.match(sentence)) or any(phrase in sentence for phrase in PHRASES)


def lead_class(text: str) -> str:
    """Return how a text starts: empty, json, code, refusal, quoted, question or prose."""
    start = text.strip()
    rules: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("empty", lambda: not start),
        ("json", lambda: start[0] in "{["),
        ("code", lambda: start.startswith("```")),
        ("refusal", lambda: is_refusal(start)),
        ("quoted", lambda: start[0] in "\"'“‘«"),
        ("question", lambda: start.splitlines()[0].rstrip().endswith("?")),
    )
    return next((name for name, holds in rules if holds()), "prose")


def shape(text: str) -> tuple[str, bool, bool, bool]:
    """Return lead class, whether there are several lines, a list, a code fence."""
    stripped = text.strip()
    return (
        lead_class(stripped),
        "\n" in stripped,
        bool(_LIST_LINE.search(stripped)),
        "```" in stripped,
    )
