"""Checks of adapters: sources they name, fields and options of their mapper, their contract."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from brewslm.diagnostics import Finding, FindingCode
from brewslm.manifest.schema import ManifestFile
from brewslm.manifest.speaker import Say
from brewslm.manifest.yaml_file import Path as YamlPath
from brewslm.registry import closest
from brewslm.rows.dataset import ContractSpec
from brewslm.rows.mapper import (
    DEFAULT_MAPPER_ID,
    MAPPERS,
    DefaultOptions,
    MapperOptionError,
    check_profile,
    load_defaults,
    load_options,
)
from brewslm.stages.adapter import AdapterSpec

_SCORING_MODES = ("auto", "field_match", "span_set")


def check_adapters(file: ManifestFile, say: Say) -> Iterator[Finding]:
    """Yield what is wrong with adapters; their maps are checked here, not by their types."""
    names = [item.name for item in file.spec.data_sources]
    for index, adapter in enumerate(file.spec.adapters):
        path: YamlPath = ("spec", "adapters", index)
        if adapter.source_ref is not None and adapter.source_ref not in names:
            near = closest(adapter.source_ref, names)
            yield say(
                FindingCode.INVALID_VALUE,
                (*path, "source_ref"),
                f'there is no source "{adapter.source_ref}"',
                f"write source_ref: {near[0]}" if near else "name a source",
                adapter.source_ref,
                ", ".join(names),
                suggestions=near,
            )
        yield from _output_contract(adapter.output_contract, (*path, "output_contract"), say)
        yield from _options(adapter, (*path, "adapter_config"), say)
        if adapter.base_adapter_id != DEFAULT_MAPPER_ID:
            yield from _task_profile(adapter, (*path, "task_profile"), say)
            yield from _field_mapping(adapter, (*path, "field_mapping"), say)


def _task_profile(adapter: AdapterSpec, path: YamlPath, say: Say) -> Iterator[Finding]:
    try:
        check_profile(MAPPERS.load(adapter.base_adapter_id), adapter.task_profile)
    except MapperOptionError as error:
        yield _of_mapper(error, path, say)


def _field_mapping(adapter: AdapterSpec, path: YamlPath, say: Say) -> Iterator[Finding]:
    fields = MAPPERS.load(adapter.base_adapter_id).field_names
    mapping = adapter.field_mapping
    unknown = [name for name in mapping if name not in fields]
    if unknown and len(unknown) == len(mapping) and {*mapping.values()} <= {*fields}:
        turned = ", ".join(f"{value}: {key}" for key, value in mapping.items())
        yield say(
            FindingCode.FIELD_MAPPING_REVERSED,
            path,
            "the wanted field stands on the left, the column on the right",
            f"write field_mapping: {{{turned}}}",
        )
        return
    for name in unknown:
        near = closest(name, fields)
        yield say(
            FindingCode.MAPPER_OPTION,
            (*path, name),
            f'{adapter.base_adapter_id} has no field "{name}"',
            f"write {near[0]}: {mapping[name]}" if near else "delete the line",
            name,
            ", ".join(fields),
            suggestions=near,
        )


def _options(adapter: AdapterSpec, path: YamlPath, say: Say) -> Iterator[Finding]:
    is_default = adapter.base_adapter_id == DEFAULT_MAPPER_ID
    mapper = None if is_default else MAPPERS.load(adapter.base_adapter_id)
    known = tuple((DefaultOptions if mapper is None else mapper.options).model_fields)
    unknown = [name for name in adapter.adapter_config if name not in known]
    for name in unknown:
        near = closest(name, known)
        yield say(
            FindingCode.MAPPER_OPTION,
            (*path, name),
            f'{adapter.base_adapter_id} has no option "{name}"',
            f"write {near[0]}" if near else "delete the line",
            name,
            ", ".join(known) or "no options",
            suggestions=near,
        )
    if unknown:
        return
    try:
        if mapper is None:
            load_defaults(adapter.adapter_config)
        else:
            load_options(mapper, adapter.adapter_config)
    except MapperOptionError as error:
        yield _of_mapper(error, path, say)


def _of_mapper(error: MapperOptionError, path: YamlPath, say: Say) -> Finding:
    return say(
        FindingCode.MAPPER_OPTION, path, error.message, error.remedy, error.found, error.expected
    )


def _output_contract(contract: Mapping[str, Any], path: YamlPath, say: Say) -> Iterator[Finding]:
    known = (*ContractSpec.model_fields, "scoring_mode")
    for name, value in contract.items():
        if name not in known:
            near = closest(name, known)
            yield say(
                FindingCode.UNKNOWN_KEY,
                (*path, name),
                "unknown key",
                f"write {near[0]}" if near else "delete it",
                name,
                ", ".join(known),
                suggestions=near,
            )
        elif name == "scoring_mode":
            if value not in _SCORING_MODES:
                near = closest(str(value), _SCORING_MODES)
                yield say(
                    FindingCode.INVALID_VALUE,
                    (*path, name),
                    f'"{value}" is no way of scoring',
                    f"write {near[0]}" if near else "write auto",
                    str(value),
                    ", ".join(_SCORING_MODES),
                    suggestions=near,
                )
        else:
            yield from _contract_value(name, value, (*path, name), say)


def _contract_value(name: str, value: Any, path: YamlPath, say: Say) -> Iterator[Finding]:
    try:
        ContractSpec.model_validate_json(json.dumps({name: value}))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        yield say(
            FindingCode.WRONG_TYPE,
            path,
            f"{name} cannot have this value",
            "write it as in dataset.contract",
            expected=first["msg"],
        )
