"""Question answering: one of several accepted short answers."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from brewslm.tasks import normalisers
from brewslm.tasks.metric import Metric, proportion
from brewslm.tasks.task import (
    Contract,
    Message,
    Reference,
    Sample,
    Scored,
    ScoringOptions,
    Task,
    no_names,
    user_turn,
)
from brewslm.tasks.text_answers import is_refusal, match_counts, text_match, text_metrics

_NORMALISER = "words"
_MARKER = re.compile(
    r"^[ \t]*(?:final answer|the answer is|answer|therefore|in conclusion)"
    r"(?:[ \t]*[:,\-][ \t]*|[ \t]+)(?P<rest>\S.*)$",
    re.I | re.MULTILINE,
)


def prompt(inputs: Mapping[str, Any], _contract: Contract) -> list[Message]:
    """Return the question."""
    return user_turn(str(inputs["question"]))


def answer(reference: Mapping[str, Any], _contract: Contract) -> str:
    """Return the first accepted answer."""
    return str(reference["answers"][0])


def extract(output: str) -> tuple[str, bool]:
    """Return the answer of an output, and whether a line announced it."""
    marked = _MARKER.findall(output)
    if not marked:
        return output, False
    return marked[-1].strip().rstrip(".,:;!?").strip(), True


def score(
    _inputs: Mapping[str, Any],
    reference: Mapping[str, Any],
    output: str,
    _contract: Contract,
    options: ScoringOptions,
) -> Scored:
    """Return the overlap of one answer with the accepted ones.

    A refusal is no answer, even where the right one follows it.
    """
    answers = list(reference["answers"])
    extracted, is_marked = extract(output)
    if is_refusal(output) and not any(map(is_refusal, answers)):
        extracted = ""
    normaliser = options.normaliser or _NORMALISER
    match = text_match(extracted, answers, normaliser)
    counts = match_counts(match)
    counts["exact_raw"] = text_match(output, answers, normaliser).exact
    counts["marked"] = float(is_marked)
    counts |= _arithmetic_counts(extracted, answers, options.numeric_tolerance)
    return Scored(counts, match.f1, extracted, values={"exact_match": match.exact, "f1": match.f1})


def metrics(_contract: Contract, _names: tuple[str, ...]) -> list[Metric]:
    """Return the metrics of short answers."""
    return [
        *text_metrics(),
        proportion(
            "exact_match_raw",
            "exact_raw",
            "exact match of the whole output, announcing lines included",
            normaliser=_NORMALISER,
        ),
        proportion(
            "answer_span_extracted_rate",
            "marked",
            "share of outputs with a line that announces the answer",
            higher_is_better=None,
        ),
        proportion(
            "arithmetic_accuracy",
            "number_right",
            "share of right numbers among items whose answer is a number",
            denominator="number_gold",
            normaliser="number",
        ),
    ]


def _arithmetic_counts(text: str, answers: list[str], tolerance: float) -> dict[str, float]:
    golds = [number for number in map(normalisers.number, answers) if number is not None]
    if not golds or len(golds) < len(answers):
        return {}
    found = normalisers.last_number(text)
    is_right = found is not None and any(
        found[1] == unit and abs(found[0] - value) <= Decimal(repr(tolerance))
        for value, unit in golds
    )
    return {"number_gold": 1.0, "number_right": float(is_right)}


TASK = Task(
    name="qa",
    reference=Reference.ANSWERS,
    text_input="question",
    version=3,
    prompt=prompt,
    answer=answer,
    score=score,
    metrics=metrics,
    names=no_names,
    answer_tokens_floor=64,
    answer_tokens_cap=256,
    fail_below=0.75,
    samples=(
        Sample(
            {"question": "Which river runs through Vienna?"},
            {"answers": ["the Danube", "Donau"]},
            {},
            "Final answer: Danube.",
        ),
    ),
)
