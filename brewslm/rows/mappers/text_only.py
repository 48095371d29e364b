"""Text to learn as it is."""

from collections.abc import Mapping
from typing import Any

from brewslm.rows.mapper import Mapped, Mapper, MapperField, NoOptions, Sample, text_field
from brewslm.rows.rejects import RejectCode
from brewslm.rows.targets import Target


def _map(values: Mapping[str, Any], _options: NoOptions, _target: Target) -> Mapped:
    text = text_field(values, "text", RejectCode.MISSING_TEXT, is_trimmed=False)
    return Mapped({}, {"text": text})


MAPPER = Mapper(
    id="text_only",
    task_profile="language_modeling",
    fields=(MapperField("text", is_required=True),),
    map=_map,
    samples=(
        Sample({"text": "  def pump():\n\treturn 3\n"}),
        Sample({"text": "   "}, RejectCode.MISSING_TEXT),
        Sample({"text": 7}, RejectCode.WRONG_TYPE),
    ),
)
