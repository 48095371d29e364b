"""dataset: rows cleaned, deduplicated, split and checked for leaks, as files below `prepared/`."""

from collections.abc import Mapping

from brewslm.address import Address
from brewslm.contracts import Category, Ending, InputRef, Kind, Spec, Work
from brewslm.rows.dataset import DatasetSpec


def _inputs(_address: Address, specs: Mapping[Address, Spec]) -> tuple[InputRef, ...]:
    sources = [InputRef(item, "rows") for item in sorted(specs) if item.kind == "data_source"]
    adapters = [InputRef(item, "examples") for item in sorted(specs) if item.kind == "adapter"]
    return (*sources, *adapters)


_ENDING = Ending("cleaning", counts=("manifest.accounting.total", "manifest.leaks.counts"))
KIND = Kind("dataset", DatasetSpec, Category.DATA, 2, Work.OBSERVED, _inputs, ending=_ENDING)
