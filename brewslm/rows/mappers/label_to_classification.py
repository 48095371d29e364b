"""A text and the label it belongs to."""

from collections.abc import Mapping
from typing import Any

from brewslm.contracts import Spec
from brewslm.rows.mapper import Mapped, Mapper, MapperField, Sample, scalar_text, text_field
from brewslm.rows.rejects import RejectCode
from brewslm.rows.targets import Target, allowed_label


class Options(Spec):
    """Options of label_to_classification."""

    allowed_labels: list[str] | None = None
    """Closed set of labels; null takes the contract's."""


def _map(values: Mapping[str, Any], options: Options, target: Target) -> Mapped:
    text = text_field(values, "text", RejectCode.MISSING_TEXT, is_trimmed=False)
    label = scalar_text(values.get("label"), "label", RejectCode.MISSING_LABEL)
    if options.allowed_labels is not None:
        own = Target(target.task_profile, labels=frozenset(options.allowed_labels))
        allowed_label(own, label, "label")
    return Mapped({"text": text}, {"label": allowed_label(target, label, "label")})


MAPPER = Mapper(
    id="label_to_classification",
    aliases=("classification-label",),
    task_profile="classification",
    fields=(
        MapperField("text", is_required=True),
        MapperField("label", is_required=True),
    ),
    options=Options,
    map=_map,
    samples=(
        Sample({"text": "Pump 3 stops", "label": " major "}),
        Sample({"text": "Pump 3 stops", "label": 2}),
        Sample({"label": "major"}, RejectCode.MISSING_TEXT),
        Sample({"text": "Pump 3 stops", "label": ""}, RejectCode.MISSING_LABEL),
        Sample({"text": "Pump 3 stops", "label": ["major"]}, RejectCode.WRONG_TYPE),
        Sample(
            {"text": "Pump 3 stops", "label": "majr"},
            RejectCode.LABEL_NOT_ALLOWED,
            labels=frozenset({"major", "minor"}),
        ),
        Sample(
            {"text": "Pump 3 stops", "label": "minor"},
            RejectCode.LABEL_NOT_ALLOWED,
            options={"allowed_labels": ["major"]},
        ),
    ),
)
