"""A prompt, the answer that is preferred, and one that is not."""

from collections.abc import Mapping
from typing import Any

from brewslm.rows.mapper import Mapped, Mapper, MapperField, NoOptions, Sample, text_field
from brewslm.rows.matching import matching_text
from brewslm.rows.rejects import RejectCode, RejectedRow
from brewslm.rows.targets import Target


def _map(values: Mapping[str, Any], _options: NoOptions, _target: Target) -> Mapped:
    prompt = text_field(values, "prompt", RejectCode.MISSING_PROMPT)
    chosen = text_field(values, "chosen", RejectCode.MISSING_CHOSEN)
    rejected = text_field(values, "rejected", RejectCode.MISSING_REJECTED)
    if matching_text(chosen) == matching_text(rejected):
        raise RejectedRow(RejectCode.IDENTICAL_PAIR, "rejected")
    return Mapped({"prompt": prompt}, {"chosen": chosen, "rejected": rejected})


MAPPER = Mapper(
    id="preference_pair",
    task_profile="preference",
    fields=(
        MapperField("prompt", is_required=True),
        MapperField("chosen", is_required=True),
        MapperField(
            "rejected",
            is_required=True,
        ),
    ),
    map=_map,
    samples=(
        Sample({"prompt": "Where is pump 3?", "chosen": "Hall B", "rejected": "No idea"}),
        Sample({"chosen": "Hall B", "rejected": "No"}, RejectCode.MISSING_PROMPT),
        Sample({"prompt": "Where?", "rejected": "No"}, RejectCode.MISSING_CHOSEN),
        Sample({"prompt": "Where?", "chosen": "Hall B"}, RejectCode.MISSING_REJECTED),
        Sample(
            {"prompt": "Where?", "chosen": "Hall B", "rejected": "hall  b"},
            RejectCode.IDENTICAL_PAIR,
        ),
        Sample({"prompt": 1, "chosen": "Hall B", "rejected": "No"}, RejectCode.WRONG_TYPE),
    ),
)
