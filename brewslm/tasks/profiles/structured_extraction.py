"""Structured extraction: an object of fields, or a set of entity spans, from a text."""

from collections.abc import Mapping
from typing import Any

from brewslm.tasks import fields, spans
from brewslm.tasks.json_output import write_json
from brewslm.tasks.metric import Metric
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

_SPAN_INSTRUCTION = (
    "List the entities of the text as one JSON object of the form "
    '{"entities": [{"type": "...", "start": 0, "end": 0, "text": "..."}]}.'
)


def prompt(inputs: Mapping[str, Any], contract: Contract) -> list[Message]:
    """Return the instruction, the row's own or one that names the fields or types, and the text."""
    instruction = inputs.get("instruction") or _instruction(contract)
    return user_turn(f"{instruction}\n\nText:\n{inputs['text']}")


def answer(reference: Mapping[str, Any], contract: Contract) -> str:
    """Return the object or the entities as the one JSON text that is learnt and scored."""
    if not _is_span_set(contract):
        return write_json(reference["object"], contract.get("json_schema"))
    entities = sorted(
        reference["entities"], key=lambda item: (item["start"], item["end"], item["type"])
    )
    return write_json({"entities": [_written(entity) for entity in entities]}, None)


def score(
    inputs: Mapping[str, Any],
    reference: Mapping[str, Any],
    output: str,
    contract: Contract,
    options: ScoringOptions,
) -> Scored:
    """Return the counts of one item under the contract's scoring mode."""
    scorer = spans.score if _is_span_set(contract) else fields.score
    return scorer(inputs, reference, output, contract, options)


def metrics(contract: Contract, names: tuple[str, ...]) -> list[Metric]:
    """Return the metrics of the contract's scoring mode."""
    declared = spans.metrics if _is_span_set(contract) else fields.metrics
    return declared(contract, names)


def names(reference: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fields of the object, or the types of the entities."""
    if "entities" in reference:
        return tuple(dict.fromkeys(entity["type"] for entity in reference["entities"]))
    return tuple(reference["object"])


def _is_span_set(contract: Contract) -> bool:
    return contract.get("scoring_mode") == "span_set"


def _instruction(contract: Contract) -> str:
    if _is_span_set(contract):
        types = spans.types_of(contract, ())
        return f"{_SPAN_INSTRUCTION} Types: {', '.join(types)}." if types else _SPAN_INSTRUCTION
    properties = (contract.get("json_schema") or {}).get("properties", {})
    wanted = ", ".join(properties or contract.get("required_fields") or ())
    listed = f" with these fields: {wanted}" if wanted else ""
    return f"Extract the facts of the text as one JSON object{listed}."


def _written(entity: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entity[name] for name in ("type", "start", "end", "text") if name in entity}


_OBJECT_SCHEMA = {
    "type": "object",
    "required": ["city"],
    "properties": {"city": {"type": "string"}, "year": {"type": "integer"}},
}

TASK = Task(
    name="structured_extraction",
    aliases=("extraction",),
    reference=Reference.OBJECT,
    text_input="text",
    prompt_and_text=("instruction", "text"),
    version=3,
    prompt=prompt,
    answer=answer,
    score=score,
    metrics=metrics,
    names=names,
    answer_tokens_floor=128,
    answer_tokens_cap=512,
    fail_below=1.0,
    normaliser="json_scalar",
    samples=(
        Sample(
            {"text": "Opened in Łódź in 1865."},
            {"object": {"year": 1865, "city": "Łódź"}},
            {"json_schema": _OBJECT_SCHEMA, "scoring_mode": "field_match"},
            '{"city": "Łódź", "year": 1865}',
        ),
        Sample(
            {"text": "Ada met Bob."},
            {
                "entities": [
                    {"type": "person", "start": 8, "end": 11, "text": "Bob"},
                    {"type": "person", "start": 0, "end": 3, "text": "Ada"},
                ]
            },
            {"json_schema": None, "scoring_mode": "span_set"},
            '{"entities": [{"type": "person", "start": 0, "end": 3, "text": "Ada"}, '
            '{"type": "person", "start": 8, "end": 11, "text": "Bob"}]}',
        ),
    ),
)
