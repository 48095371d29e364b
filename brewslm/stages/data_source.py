"""data_source: a snapshot of rows from one locator."""

from typing import Annotated, Any, Literal

from pydantic import Field

from brewslm.contracts import Category, Ending, Kind, Later, Spec, Work
from brewslm.rows.source import is_local, scheme_of_path

SourceRole = Literal[
    "raw", "cleaned", "synthetic", "train", "validation", "test", "gold_dev", "gold_test"
]


class SourceVersion(Spec):
    """An earlier state of a source, noted by people."""

    version: Annotated[int, Category.METADATA]
    """Number."""
    record_count: Annotated[int, Field(ge=0), Category.METADATA] = 0
    """Rows."""
    file_path: Annotated[str | None, Category.METADATA] = None
    """Where they were."""


class DataSourceSpec(Spec):
    """An entry of the manifest's `spec.data_sources`."""

    name: Annotated[str, Field(min_length=1, max_length=255), Category.METADATA]
    """Name of the source; its address is `data_source.<name>`."""
    type: Annotated[SourceRole, Category.DATA]
    """What the rows may become."""
    description: Annotated[str, Category.METADATA] = ""
    """Free text."""
    record_count: Annotated[int, Field(ge=0), Category.METADATA] = 0
    """Expected number of rows, checked at every plan; 0 does not check."""
    file_path: Annotated[str | None, Category.DATA] = None
    """The locator, its scheme taken from the extension."""
    metadata: Annotated[dict[str, Any], Category.METADATA] = {}
    """Notes on the source."""
    versions: Annotated[tuple[SourceVersion, ...], Category.METADATA] = ()
    """History for people."""
    locator: Annotated[str | None, Category.DATA] = None
    """Where the rows are, as `scheme:path`; not together with `file_path`."""
    adapter: Annotated[str | None, Category.DATA] = None
    """Mapping to use, a name in `adapters`; null is introspection."""
    weight: Annotated[float, Field(gt=0, le=100), Category.DATA] = 1.0
    """Copies of each train row in an epoch; the fractional part keeps a share by row hash."""
    limit: Annotated[int | None, Field(ge=1), Category.DATA] = None
    """Read only the first n rows."""
    delimiter: Annotated[str | None, Category.DATA, Later.FIELD] = None
    """The one ASCII character between cells of a `csv` or `tsv` file, as `";"` or `"\\t"`; null is
    the format's own, or for `csv` what header and first row clearly show (`;`, tab or `|`).
    """
    sha256: Annotated[str | None, Field(pattern=r"^[0-9a-f]{64}$"), Category.METADATA] = None
    """Pin of the file's bytes, checked at every plan and when rows are used."""


def locator_of(source: DataSourceSpec) -> str:
    """Return a source's locator as `scheme:path`; empty when it names no rows."""
    if source.locator is not None:
        scheme, _, path = source.locator.partition(":")
        if scheme != "file":
            return source.locator
    else:
        path = source.file_path or ""
    scheme = scheme_of_path(path)
    return f"{scheme}:{path}" if scheme else ""


def scheme_of(source: DataSourceSpec) -> str:
    """Return the scheme of a source's locator; empty when it names no rows."""
    return locator_of(source).partition(":")[0]


def source_path(source: DataSourceSpec) -> str:
    """Return the path of a local source relative to the project; empty when it is none."""
    if source.locator is None:
        return source.file_path or ""
    scheme, _, path = locator_of(source).partition(":")
    return path if is_local(scheme) else ""


_ENDING = Ending("ingestion", "dataset_import_run", ("rows_read", "blank_lines"))
KIND = Kind("data_source", DataSourceSpec, Category.DATA, 2, Work.OBSERVED, ending=_ENDING)
