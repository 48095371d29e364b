"""export: one written form of the candidate, verified against the trained model."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from brewslm.address import Address
from brewslm.contracts import Category, Ending, InputRef, Kind, Spec, Work
from brewslm.stages.export_format import ExportFormat

Quantization = Literal["F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "INT8"]


class VerifySpec(Spec):
    """How an export is compared with the candidate before it counts."""

    enabled: Annotated[bool, Category.EXPORT] = True
    """Whether it is compared at all."""
    rows: Annotated[int, Field(ge=1, le=1000), Category.EXPORT] = 32
    """Evaluation prompts used."""
    max_kl: Annotated[float | None, Field(gt=0), Category.EXPORT] = None
    """Mean KL of next-token distributions, nats; null depends on the number of bits."""
    min_top1: Annotated[float | None, Field(ge=0, le=1), Category.EXPORT] = None
    """Share of equal top tokens; null depends on the number of bits."""
    tokenizer_parity: Annotated[bool, Category.EXPORT] = True
    """Equal token ids on all prompts through the chat template."""
    rerun_gates: Annotated[bool, Category.EXPORT] = False
    """Whether required gates must also pass on the exported artifact."""
    action: Annotated[Literal["block", "warn"], Category.EXPORT] = "block"
    """block: the export fails and is kept aside."""


class ExportSpec(Spec):
    """The manifest's `spec.export`."""

    formats: Annotated[tuple[ExportFormat, ...], Category.EXPORT] = ()
    """One resource each."""
    quantization: Annotated[Quantization | None, Category.EXPORT] = None
    """Used by the formats that know the name, the others keep the base dtype."""
    extra: Annotated[dict[str, Any], Category.METADATA] = {}
    """Notes."""
    verify: VerifySpec = VerifySpec()
    """How an export is compared with the candidate before it counts."""


class ExportFormatSpec(Spec):
    """One format of the manifest's `spec.export`."""

    format: Annotated[ExportFormat, Category.EXPORT]
    """The format."""
    quantization: Annotated[Quantization | None, Category.EXPORT] = None
    """Null keeps the base dtype."""
    extra: Annotated[dict[str, Any], Category.METADATA] = {}
    """Notes."""
    verify: VerifySpec = VerifySpec()
    """How the export is compared with the candidate before it counts."""


def _inputs(_address: Address, _specs: Mapping[Address, Spec]) -> tuple[InputRef, ...]:
    return (
        InputRef(Address("model"), "base"),
        InputRef(Address("training_plan"), "lora_adapter"),
        InputRef(Address("dataset"), "prepared", is_ordering=True),
        InputRef(Address("eval_pack"), "verdict", is_ordering=True),
    )


_ENDING = Ending("export", counts=("mean_kl", "top1", "texts_equal", "rows"))
KIND = Kind(
    "export",
    ExportFormatSpec,
    Category.EXPORT,
    2,
    Work.DOOR,
    _inputs,
    door="brewslm.engine.export:run",
    ending=_ENDING,
)
