"""Scoring of open answers: what instruction_sft and chat_sft have in common."""

import json
from collections.abc import Mapping, Sequence
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
    """Return overlap and shape of one answer; the whole output is the answer.

    Where the reference calls tools, the calls are compared instead of the text: those of the output
    are the JSON objects in it that have a name and arguments.
    """
    wanted, found = str(reference["text"]), output
    if "tool_calls" in reference:
        wanted = _calls_text([call["function"] for call in reference["tool_calls"]])
        found = _calls_text(_calls_in(output))
    match = text_match(found, [wanted], options.normaliser or NORMALISER)
    counts = match_counts(match)
    has_shape = shape(found) == shape(wanted)
    counts["same_shape"] = float(has_shape)
    return Scored(
        counts,
        match.f1,
        output,
        values={"exact_match": match.exact, "f1": match.f1},
        failure="" if has_shape or match.f1 < _ALIKE else "formatting_mismatch",
    )


def _calls_in(output: str) -> list[Mapping[str, Any]]:
    """Return the calls that an output writes as JSON, whatever stands around them."""
    decoder = json.JSONDecoder()
    calls: list[Mapping[str, Any]] = []
    at = output.find("{")
    while at >= 0:
        try:
            value, at = decoder.raw_decode(output, at)
        except (json.JSONDecodeError, RecursionError):
            at += 1
        else:
            function = value.get("function", value)
            if isinstance(function, dict) and isinstance(function.get("name"), str):
                calls.append(function)
        at = output.find("{", at)
    return calls


def _calls_text(calls: Sequence[Mapping[str, Any]]) -> str:
    """Return calls in a form that only equal calls have."""
    return "\n".join(
        json.dumps(
            [call["name"], call.get("arguments", call.get("parameters")) or {}], sort_keys=True
        )
        for call in calls
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
