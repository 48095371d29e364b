"""Scoring of open answers: what instruction_sft and chat_sft have in common."""

from collections.abc import Mapping
from typing import Any

from brewslm.tasks.metric import Metric, proportion
from brewslm.tasks.task import Contract, Scored, ScoringOptions
from brewslm.tasks.text_answers import match_counts, shape, text_match, text_metrics

NORMALISER = "words"


def answer(reference: Mapping[str, Any], _contract: Contract) -> str:
    """Return the text of the reference."""
    return str(reference["text"])


def score(
    _inputs: Mapping[str, Any],
    reference: Mapping[str, Any],
    output: str,
    _contract: Contract,
    options: ScoringOptions,
) -> Scored:
    """Return overlap and shape of one answer; the whole output is the answer."""
    match = text_match(output, [reference["text"]], options.normaliser or NORMALISER)
    counts = match_counts(match)
    has_shape = shape(output) == shape(reference["text"])
    counts["same_shape"] = float(has_shape)
    return Scored(
        counts,
        match.f1,
        output,
        values={"exact_match": match.exact, "f1": match.f1},
        failure="" if has_shape or match.f1 < _ALIKE else "formatting_mismatch",
    )


def metrics(_contract: Contract, _names: tuple[str, ...]) -> list[Metric]:
    """Return the metrics of open answers."""
    return [
        *text_metrics(),
        proportion(
            "format_consistency",
            "same_shape",
            "share of outputs with lead, lines, list and code fence as in the reference",
        ),
    ]


_ALIKE = 0.45
"""Token F1 from which an answer of another shape counts as a matter of format."""
