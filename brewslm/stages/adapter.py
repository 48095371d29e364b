"""adapter: how the columns of a source map to the fields of a task. Nothing to do with LoRA
weights.
"""

from collections.abc import Mapping
from operator import itemgetter
from typing import Annotated, Any, Literal

from pydantic import Field

from brewslm.address import Address
from brewslm.contracts import Category, Ending, InputRef, Kind, Spec, Work
from brewslm.rows.dataset import TaskProfile
from brewslm.stages.data_source import DataSourceSpec, SourceRole

Mapper = Literal[
    "default-canonical",
    "bio_to_spans",
    "label_to_classification",
    "kv_to_structured",
    "preference_pair",
    "chat_messages_passthrough",
    "sharegpt_to_chat",
    "rag_passthrough",
    "qa_pair_passthrough",
    "instruction_passthrough",
    "prompt_completion_passthrough",
    "text_only",
]


class AdapterSpec(Spec):
    """An entry of the manifest's `spec.adapters`."""

    name: Annotated[str, Field(min_length=1, max_length=128), Category.METADATA]
    """Name of the adapter; its address is `adapter.<name>`."""
    version: Annotated[int, Field(ge=1), Category.METADATA] = 1
    """Number for people; content decides what is redone."""
    status: Annotated[str, Category.DATA] = "active"
    """Only `active` adapters are bound to sources."""
    base_adapter_id: Annotated[Mapper, Category.DATA] = "default-canonical"
    """The mapper."""
    task_profile: Annotated[TaskProfile | None, Category.DATA] = None
    """Task of the mapped rows; null is the mapper's own."""
    source_type: Annotated[SourceRole, Category.DATA] = "raw"
    """Role this adapter serves when nothing more precise binds it."""
    source_ref: Annotated[str | None, Category.DATA] = None
    """The source this adapter serves."""
    field_mapping: Annotated[dict[str, str], Category.DATA] = {}
    """Mapper field to source column; an unmapped field takes the column of its own name."""
    adapter_config: Annotated[dict[str, Any], Category.DATA] = {}
    """Options of the mapper."""
    output_contract: Annotated[dict[str, Any], Category.DATA] = {}
    """Contract for these rows only, on top of the data set's; also `scoring_mode`."""


class _Served:
    """Which sources each adapter serves, looked up once for all adapters of the same resources."""

    def __init__(self) -> None:
        self._known: tuple[Mapping[Address, Spec], dict[str, list[Address]]] = ({}, {})

    def by(self, adapter: str, specs: Mapping[Address, Spec]) -> list[Address]:
        """Return the sources that an adapter serves, in order."""
        known, sources = self._known
        if specs is not known:
            sources = {}
            for address, spec in sorted(specs.items(), key=itemgetter(0)):
                if isinstance(spec, DataSourceSpec) and spec.adapter is not None:
                    sources.setdefault(spec.adapter, []).append(address)
            self._known = specs, sources
        return sources.get(adapter, [])


_SERVED = _Served()


def _inputs(address: Address, specs: Mapping[Address, Spec]) -> tuple[InputRef, ...]:
    return tuple(InputRef(source, "rows") for source in _SERVED.by(address.name, specs))


_ENDING = Ending("adapter", counts=("mapped", "rejected"))
KIND = Kind("adapter", AdapterSpec, Category.DATA, 2, Work.OBSERVED, _inputs, ending=_ENDING)
