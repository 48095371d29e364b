"""A text and the columns that are to be extracted from it."""

from collections.abc import Mapping
from typing import Any

from brewslm.contracts import Spec
from brewslm.rows.mapper import (
    Mapped,
    Mapper,
    MapperField,
    MapperOptionError,
    Sample,
    text_field,
)
from brewslm.rows.rejects import RejectCode, RejectedRow
from brewslm.rows.targets import Target, check_exact_integers


class Options(Spec):
    """Options of kv_to_structured."""

    fields: list[str] | dict[str, str] = []
    """Columns to extract, or output field to column; the order is that of the answer."""
    required: list[str] = []
    """Output fields that must not be blank."""
    skip_empty_fields: bool = True
    """Leave blank fields out of the answer; false writes them as null."""


def _check(options: Options) -> None:
    if not options.fields:
        raise MapperOptionError(
            'mapper "kv_to_structured" needs the option "fields"',
            code="MAPPER_OPTION",
            found="no fields",
            expected="a list of columns, or a map of output field to column",
            remedy="write adapter_config.fields: [column, ...]",
        )


def _map(values: Mapping[str, Any], options: Options, _target: Target) -> Mapped:
    text = text_field(values, "text", RejectCode.MISSING_TEXT, is_trimmed=False)
    fields = options.fields
    pairs = fields.items() if isinstance(fields, dict) else zip(fields, fields, strict=True)
    extracted = {name: _present(values.get(column)) for name, column in pairs}
    for name in options.required:
        if extracted.get(name) is None:
            raise RejectedRow(RejectCode.MISSING_REQUIRED_FIELD, name)
    if all(value is None for value in extracted.values()) and options.skip_empty_fields:
        raise RejectedRow(RejectCode.NO_FIELDS_EXTRACTED)
    if options.skip_empty_fields:
        extracted = {name: value for name, value in extracted.items() if value is not None}
    check_exact_integers(extracted, "fields")
    return Mapped({"text": text}, {"object": extracted})


def _columns(options: Options) -> list[str]:
    fields = options.fields
    return list(fields.values()) if isinstance(fields, dict) else fields


def _present(value: Any) -> Any:
    return None if type(value) is str and not value.strip() else value


_FIELDS = {"fields": ["severity", "cause"]}

MAPPER = Mapper(
    id="kv_to_structured",
    task_profile="structured_extraction",
    fields=(MapperField("text", is_required=True),),
    options=Options,
    check_options=_check,
    reads_whole_row=True,
    option_columns=_columns,
    scoring_mode="field_match",
    map=_map,
    samples=(
        Sample({"text": "Pump 3", "severity": "major", "cause": ""}, options=_FIELDS),
        Sample({"text": "Pump 3", "n": 3}, options={"fields": {"count": "n"}}),
        Sample({"severity": "major"}, RejectCode.MISSING_TEXT, options=_FIELDS),
        Sample({"text": 3, "severity": "major"}, RejectCode.WRONG_TYPE, options=_FIELDS),
        Sample(
            {"text": "Pump 3", "severity": " ", "cause": "heat"},
            RejectCode.MISSING_REQUIRED_FIELD,
            options={**_FIELDS, "required": ["severity"]},
        ),
        Sample({"text": "Pump 3"}, RejectCode.NO_FIELDS_EXTRACTED, options=_FIELDS),
        Sample({"text": "Pump 3"}, options={**_FIELDS, "skip_empty_fields": False}),
        Sample(
            {"text": "Pump 3", "severity": 2**60},
            RejectCode.NUMBER_OUT_OF_RANGE,
            options=_FIELDS,
        ),
    ),
)
