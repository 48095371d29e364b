"""Which files a manifest names, read off what is written before anything is checked.

A manifest with errors names files too, so types are looked at here and nothing is refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from brewslm.manifest.yaml_file import Path as YamlPath


class NamedFile(Struct, frozen=True):
    """A path that is written in a manifest, and where."""

    path: str
    at: YamlPath


def included_files(value: Any) -> set[str]:
    """Return the paths of files whose content is part of a manifest."""
    return {item.path for item in _included(_below(value, "spec"))}


def named_files(value: Any) -> list[NamedFile]:
    """Return the files that a manifest includes, and those of its local sources."""
    sections = _below(value, "spec")
    return [*_included(sections), *_sources(sections)]


def model_folder(value: Any) -> NamedFile | None:
    """Return the folder of the base model, None where the model is none of the project."""
    base = _below(_below(value, "spec"), "model").get("base_model")
    if not isinstance(base, str) or not base.startswith("./"):
        return None
    return NamedFile(base, ("spec", "model", "base_model"))


def _included(sections: Mapping[str, Any]) -> Iterator[NamedFile]:
    yield from _named(_below(sections, "eval_pack"), "path", ("spec", "eval_pack"))
    contract = _below(_below(sections, "dataset"), "contract")
    yield from _named(contract, "json_schema", ("spec", "dataset", "contract"))
    for index, adapter in enumerate(_items(sections, "adapters")):
        at = ("spec", "adapters", index, "output_contract")
        yield from _named(_below(adapter, "output_contract"), "json_schema", at)


def _sources(sections: Mapping[str, Any]) -> Iterator[NamedFile]:
    for index, source in enumerate(_items(sections, "data_sources")):
        at = ("spec", "data_sources", index)
        yield from _named(source, "file_path", at)
        for item in _named(source, "locator", at):
            yield NamedFile(item.path.partition(":")[2], item.at)


def _named(section: Any, key: str, at: YamlPath) -> Iterator[NamedFile]:
    found = section.get(key) if isinstance(section, Mapping) else None
    if isinstance(found, str):
        yield NamedFile(found, (*at, key))


def _items(sections: Mapping[str, Any], key: str) -> Sequence[Any]:
    found = sections.get(key)
    return found if isinstance(found, list) else ()


def _below(value: Any, key: str) -> Mapping[str, Any]:
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}
