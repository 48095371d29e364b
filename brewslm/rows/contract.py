"""What the dataset promises of every row: labels, required fields, a JSON Schema."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from brewslm.contracts import spec_values
from brewslm.rows.dataset import ContractSpec
from brewslm.rows.record import Example
from brewslm.rows.rejects import RejectCode, RejectedRow
from brewslm.rows.schema import Validator, compile_schema, first_violation
from brewslm.strict_json import StrictJsonError, parse_strict

_ANSWER = "answer."


@dataclass(frozen=True)
class Contract:
    """The effective contract of one source: the dataset's, with the source's own on top."""

    allowed_labels: tuple[str, ...] | None = None
    required_fields: tuple[str, ...] = ()
    json_schema: Mapping[str, Any] | None = None
    scoring_mode: str = "auto"
    validator: Validator | None = field(default=None, compare=False)

    @classmethod
    def of(cls, dataset: ContractSpec, own: Mapping[str, Any] | None = None) -> "Contract":
        """Return the dataset's contract with that of one adapter on top.

        Raises: SchemaError.
        """
        merged: dict[str, Any] = {}
        for layer in (spec_values(dataset), own or {}):
            merged.update({key: value for key, value in layer.items() if value not in (None, [])})
        schema = merged.get("json_schema")
        labels = merged.get("allowed_labels")
        return cls(
            allowed_labels=None if labels is None else tuple(labels),
            required_fields=tuple(merged.get("required_fields", ())),
            json_schema=schema,
            scoring_mode=merged.get("scoring_mode", "auto"),
            validator=None if schema is None else compile_schema(schema),
        )

    def document(self, labels: tuple[str, ...], scoring_mode: str) -> dict[str, Any]:
        """Return the contract as composing and scoring read it."""
        return {
            "allowed_labels": None if self.allowed_labels is None else list(self.allowed_labels),
            "required_fields": list(self.required_fields),
            "json_schema": self.json_schema,
            "scoring_mode": scoring_mode,
            "labels": list(labels),
        }


def check_contract(example: Example, values: Mapping[str, Any], contract: Contract) -> None:
    """Check an example against its contract; `values` are the bound fields of its row.

    Raises: RejectedRow.
    """
    entities = example.reference.get("entities")
    if type(entities) is list:
        check_spans(entities, example.inputs)
    if contract.required_fields:
        _check_required(example, values, contract.required_fields)
    validator = contract.validator
    if validator is not None and (violation := first_violation(validator, answer_value(example))):
        raise RejectedRow(RejectCode.SCHEMA_VIOLATION, "reference", violation)


def check_spans(entities: list[dict[str, Any]], inputs: Mapping[str, Any]) -> None:
    """Check that every entity is the text between its offsets.

    Raises: RejectedRow with span_out_of_range.
    """
    text = inputs.get("text", "")
    for index, entity in enumerate(entities):
        start, end = entity["start"], entity["end"]
        if not 0 <= start < end <= len(text) or text[start:end] != entity["text"]:
            raise RejectedRow(RejectCode.SPAN_OUT_OF_RANGE, f"entities/{index}")


def answer_value(example: Example) -> Any:
    """Return the answer of an example as a JSON value, for the schema.

    Raises: RejectedRow where an answer that is text is no JSON.
    """
    reference = example.reference
    for name in ("object", "calls"):
        if name in reference:
            return reference[name]
    if "entities" in reference:
        return {"entities": reference["entities"]}
    if "answers" in reference:
        text = reference["answers"][0] if reference["answers"] else ""
    else:
        text = reference.get("text", reference.get("label", reference.get("chosen", "")))
    try:
        return parse_strict(text, require_object=False)
    except StrictJsonError as error:
        raise RejectedRow(RejectCode.REFERENCE_NOT_JSON, "reference", str(error.code)) from error


def _check_required(example: Example, values: Mapping[str, Any], required: tuple[str, ...]) -> None:
    for name in required:
        if name.startswith(_ANSWER):
            key = name.removeprefix(_ANSWER)
            answer = answer_value(example)
            is_present = type(answer) is dict and not _is_blank(answer.get(key))
        else:
            is_present = not _is_blank(values.get(name))
        if not is_present:
            raise RejectedRow(RejectCode.MISSING_REQUIRED_FIELD, name)


def _is_blank(value: Any) -> bool:
    return value is None or value in ([], {}) or (type(value) is str and not value.strip())
