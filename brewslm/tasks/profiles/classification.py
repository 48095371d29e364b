"""Classification: one label of a closed set for a text."""

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

from msgspec import Struct

from brewslm.tasks import normalisers
from brewslm.tasks.arithmetic import Arithmetic, Number, Totals
from brewslm.tasks.json_output import read_json
from brewslm.tasks.metric import Formula, Metric, class_f1, class_metrics, pooled, proportion
from brewslm.tasks.task import (
    Contract,
    Message,
    Reference,
    Sample,
    Scored,
    ScoringOptions,
    Task,
    user_turn,
)
from brewslm.tasks.text_answers import is_refusal

UNPARSEABLE = "__unparseable__"
_MOST_LISTED_LABELS = 30
_KEYS = frozenset({"label", "class", "category", "answer"})
_NAMED_LABEL = re.compile(r"[\W_]*(?:label|class|category|answer)[\W_]*?:(?P<label>.*)", re.I)
_CUES = frozenset(
    "not no non never without neither nor isn't aren't wasn't don't doesn't".split()  # noqa: SIM905
)
_TWO_WORD_CUES = frozenset({("rather", "than"), ("instead", "of")})
_CUE_REACH_WORDS = 3
_SHORT_LABEL = 2
"""Letters up to which a mark before a label makes it another one, as in `$a` and `.c`."""
_WORD = re.compile(r"\w+(?:'\w+)?")


def labels_of(contract: Contract) -> tuple[str, ...]:
    """Return the whole label set: allowed_labels, else the labels of the prepared rows."""
    return tuple(contract.get("allowed_labels") or contract.get("labels") or ())


def prompt(inputs: Mapping[str, Any], contract: Contract) -> list[Message]:
    """Return the question with the complete label list, or with none when it is long."""
    labels = labels_of(contract)
    listed = f"Labels: {', '.join(labels)}\n\n" if 0 < len(labels) <= _MOST_LISTED_LABELS else ""
    instruction = "Classify the text. Answer with the label only."
    return user_turn(f"{instruction}\n\n{listed}Text:\n{inputs['text']}")


def answer(reference: Mapping[str, Any], _contract: Contract) -> str:
    """Return the label."""
    return str(reference["label"])


class _Spellings(Struct, frozen=True):
    """How the labels of a contract may be written."""

    exact: Mapping[str, str]
    """Text to label, byte for byte."""
    forms: Mapping[str, str]
    """Normal form to label; a form that two labels share means none of them."""
    alike: tuple[tuple[str, ...], ...]
    """Labels that share a form, so that only their exact text means them."""
    pattern: re.Pattern[str] | None
    """Any form as whole words, longest first."""


def extract(output: str, contract: Contract, options: ScoringOptions) -> tuple[str, str, bool]:
    """Return the label of an output, how reading failed, and whether it was written plainly."""
    return _extracted(output, labels_of(contract), tuple(options.label_synonyms.items()))


@lru_cache(maxsize=4)  # an output is scored against several references
def _extracted(
    output: str, labels: tuple[str, ...], synonyms: tuple[tuple[str, str], ...]
) -> tuple[str, str, bool]:
    spellings = _spelled(labels, synonyms)
    found = _exact(output, spellings)
    if found:
        return found, "", True
    if any(map(is_refusal, output.splitlines())):
        return UNPARSEABLE, "refused", False
    if output.lstrip()[:1] == "{" and not read_json(output, "first_value").is_valid:
        return UNPARSEABLE, "none", False
    found, detail = _searched(output, spellings)
    return found, detail, False


def alike(contract: Contract) -> tuple[tuple[str, ...], ...]:
    """Return the labels that only their exact text tells apart."""
    return _spelled(labels_of(contract), ()).alike


def score(
    _inputs: Mapping[str, Any],
    reference: Mapping[str, Any],
    output: str,
    contract: Contract,
    options: ScoringOptions,
) -> Scored:
    """Return the confusion counts of one item."""
    gold = reference["label"]
    predicted, detail, is_exact = extract(output, contract, options)
    is_right = predicted == gold
    counts = {f"gold:{gold}": 1.0, f"pred:{predicted}": 1.0}
    if is_right:
        counts |= {"correct": 1.0, f"tp:{gold}": 1.0}
    if predicted == UNPARSEABLE:
        counts["unparseable"] = 1.0
    if is_exact:
        counts["label_exact"] = 1.0
    return Scored(
        counts,
        float(is_right),
        predicted,
        is_parseable=predicted != UNPARSEABLE,
        parse_detail=detail,
        values={"accuracy": float(is_right)},
        failure="" if is_right or predicted == UNPARSEABLE else "label_confusion",
    )


def metrics(contract: Contract, names: tuple[str, ...]) -> list[Metric]:
    """Return the metrics over the whole label set."""
    labels = tuple(dict.fromkeys((*labels_of(contract), *names)))
    return [
        proportion(
            "accuracy",
            "correct",
            "share of right labels; unparseable output is wrong",
            normaliser="label",
            synonyms=("exact_match",),
        ),
        pooled(
            "macro_f1",
            _over_supported(labels, class_f1),
            "mean F1 of labels with gold rows",
            normaliser="label",
            synonyms=("f1",),
        ),
        pooled("weighted_f1", _weighted_f1(labels), "F1 weighted by gold rows", normaliser="label"),
        pooled(
            "balanced_accuracy",
            _over_supported(labels, _recall),
            "mean recall of labels with gold rows",
            normaliser="label",
        ),
        pooled(
            "mcc",
            _mcc((*labels, UNPARSEABLE)),
            "Matthews correlation, unparseable being a class",
            low=-1.0,
            normaliser="label",
        ),
        pooled(
            "min_per_class_f1",
            _smallest_f1(labels),
            "smallest F1 of labels with gold rows",
            normaliser="label",
        ),
        proportion(
            "unparseable_rate",
            "unparseable",
            "share of outputs without one label",
            higher_is_better=False,
            normaliser="label",
        ),
        proportion(
            "label_exact_rate",
            "label_exact",
            "share of outputs that state the label plainly",
            normaliser="label",
        ),
        *class_metrics(labels),
    ]


def names(reference: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the gold label."""
    return (str(reference["label"]),)


@lru_cache(maxsize=64)
def _spelled(labels: tuple[str, ...], synonyms: tuple[tuple[str, str], ...]) -> _Spellings:
    written = [*((label, label) for label in labels), *synonyms]
    exact: dict[str, str] = {}
    meant: dict[str, set[str]] = {}
    for spelling, label in written:
        exact.setdefault(spelling, label)
        meant.setdefault(normalisers.label(spelling), set()).add(label)
    forms = {form: min(own) for form, own in meant.items() if form and len(own) == 1}
    shared = (tuple(sorted(own)) for own in meant.values() if len(own) > 1)
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    return _Spellings(
        exact,
        forms,
        tuple(dict.fromkeys(shared)),
        re.compile("|".join(map(_as_words, longest_first))) if forms else None,
    )


def _as_words(form: str) -> str:
    """Return the pattern of a form as whole words: no part of a longer word, number or name.

    So `1` is not in `-1`, `1.5`, `10:30` or `A:1`, and `c` is neither in `c++`, `c +` nor in
    `non-c`.
    """
    written = r"[\s_\-]+".join(re.escape(word) for word in form.split(" "))
    left = r"(?<!\w)(?<!\w-)"
    if form[0].isdigit() or len(form) <= _SHORT_LABEL:
        left += r"(?<![-+=*#.^<>≤≥±~$€£¥])(?<!\d[,/])(?<!\w:)(?<!&[lg]t;)"
    right = r"(?![\w+#%^])(?!-(?!-))(?![.,/:]\d)(?!\s%)(?!(?:\s[-+#]+)+\s*(?:\n|$))"
    return rf"{left}{written}{right}"


def _exact(output: str, spellings: _Spellings) -> str | None:
    """Return the label that is the whole answer: its exact text before any normal form."""
    lines = [line for line in output.splitlines() if line.strip()]
    forms = {_meant(line, spellings) for line in lines} - {None}
    if len(forms) > 1:
        return None  # several labels, one a line
    first_line = lines[0] if lines else ""
    named = _NAMED_LABEL.fullmatch(first_line)
    texts = [output, first_line, *([named["label"]] if named else []), *_json_label(output)]
    for text in texts:
        if label := spellings.exact.get(text) or spellings.exact.get(text.strip()):
            return label
    for text in texts:
        if label := _meant(text, spellings):
            return label
    return None


def _meant(text: str, spellings: _Spellings) -> str | None:
    """Return the label whose normal form a text has; `- 1` is -1 where that is a label."""
    signed = spellings.forms.get(normalisers.label(normalisers.joined_minus(text)))
    return signed or spellings.forms.get(normalisers.label(text))


def _json_label(output: str) -> list[str]:
    """Return the text of an answer that is a JSON object with the label as its only value."""
    reading = read_json(output, "strict")
    value = reading.value if reading.is_valid else None
    if isinstance(value, dict) and len(value) == 1 and value.keys() <= _KEYS:
        (text,) = value.values()
        return [text] if isinstance(text, str) else []
    return []


def _searched(output: str, spellings: _Spellings) -> tuple[str, str]:
    """Return the only label among the words of an output, or why there is none."""
    if spellings.pattern is None:
        return UNPARSEABLE, "none"
    text = unicodedata.normalize("NFC", output).replace("\u2019", "'")
    text = normalisers.joined_marks(normalisers.joined_minus(text)).casefold()
    matches = list(spellings.pattern.finditer(text))
    found = {spellings.forms[normalisers.label(match[0])] for match in matches}
    if len(found) != 1:
        return UNPARSEABLE, "ambiguous" if found else "none"
    if any(_is_negated(text[: match.start()]) for match in matches):
        return UNPARSEABLE, "negated"
    return found.pop(), ""


def _is_negated(before: str) -> bool:
    words = _WORD.findall(before)
    near = words[-_CUE_REACH_WORDS:]
    pairs = list(pairwise(words))[-_CUE_REACH_WORDS:]
    return not _CUES.isdisjoint(near) or not _TWO_WORD_CUES.isdisjoint(pairs)


def _recall(totals: Totals, label: str, arithmetic: Arithmetic) -> Number:
    return arithmetic.ratio_or_zero(totals[f"tp:{label}"], totals[f"gold:{label}"])


def _over_supported(labels: tuple[str, ...], of_class: Any) -> Formula:
    return lambda totals, arithmetic: arithmetic.mean_where(
        [of_class(totals, label, arithmetic) for label in labels],
        [totals[f"gold:{label}"] for label in labels],
    )


def _smallest_f1(labels: tuple[str, ...]) -> Formula:
    return lambda totals, arithmetic: arithmetic.min_where(
        [class_f1(totals, label, arithmetic) for label in labels],
        [totals[f"gold:{label}"] for label in labels],
    )


def _weighted_f1(labels: tuple[str, ...]) -> Formula:
    def formula(totals: Totals, arithmetic: Arithmetic) -> Number:
        weighted = sum(
            class_f1(totals, label, arithmetic) * totals[f"gold:{label}"] for label in labels
        )
        return arithmetic.ratio(weighted, sum(totals[f"gold:{label}"] for label in labels))

    return formula


def _mcc(classes: tuple[str, ...]) -> Formula:
    """Return the multi-class correlation; undefined where gold or predictions have one class.

    Source: Gorodkin, Comparing two K-category assignments by a K-category correlation (2004).
    """

    def formula(totals: Totals, arithmetic: Arithmetic) -> Number:
        n = totals["n"]
        gold = [totals[f"gold:{label}"] for label in classes]
        predicted = [totals[f"pred:{label}"] for label in classes]
        products = sum(g * p for g, p in zip(gold, predicted, strict=True))
        spread = (n * n - sum(g * g for g in gold)) * (n * n - sum(p * p for p in predicted))
        return arithmetic.ratio(totals["correct"] * n - products, arithmetic.sqrt(spread))

    return formula


TASK = Task(
    name="classification",
    reference=Reference.LABEL,
    text_input="text",
    version=3,
    prompt=prompt,
    answer=answer,
    score=score,
    metrics=metrics,
    names=names,
    answer_tokens_floor=16,
    answer_tokens_cap=64,
    fail_below=1.0,
    normaliser="label",
    alike=alike,
    samples=(
        Sample(
            {"text": "Pump 3 stops after ten minutes"},
            {"label": "major"},
            {"allowed_labels": ["minor", "major"], "scoring_mode": None, "json_schema": None},
            "Major.",
        ),
    ),
)
