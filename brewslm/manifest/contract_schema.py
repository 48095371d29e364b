"""JSON Schemas that contracts name: read from the project where they are files, and compiled once
to see that they can be used.
"""

from pathlib import Path
from typing import Any

import jsonschema_rs

from brewslm.diagnostics import Finding, FindingCode, finding_code
from brewslm.files import PathError, read_inside
from brewslm.manifest.schema import ManifestFile
from brewslm.manifest.speaker import Say, speaker
from brewslm.manifest.yaml_file import Path as YamlPath
from brewslm.manifest.yaml_file import YamlFile
from brewslm.rows.schema import SchemaError, compile_schema
from brewslm.strict_json import StrictJsonError, parse_strict

MAX_SCHEMA_BYTES = 1 << 20
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def with_schemas(
    file: ManifestFile, root: Path, source: YamlFile
) -> tuple[ManifestFile, list[Finding]]:
    """Return the manifest with schema files written out in place of their paths, and findings.

    What a schema file says belongs to the data's identity; where it lies does not.
    """
    reader = _Reader(root, speaker(source))
    contract = file.spec.dataset.contract
    path: YamlPath = ("spec", "dataset", "contract", "json_schema")
    schema = reader.resolved(contract.json_schema, path)
    dataset = file.spec.dataset.model_copy(
        update={"contract": contract.model_copy(update={"json_schema": schema})}
    )
    adapters = []
    for index, adapter in enumerate(file.spec.adapters):
        own = adapter.output_contract
        if "json_schema" in own:
            path = ("spec", "adapters", index, "output_contract", "json_schema")
            own = own | {"json_schema": reader.resolved(own["json_schema"], path)}
        adapters.append(adapter.model_copy(update={"output_contract": own}))
    spec = file.spec.model_copy(update={"dataset": dataset, "adapters": tuple(adapters)})
    return file.model_copy(update={"spec": spec}), reader.findings


class _Reader:
    def __init__(self, root: Path, say: Say) -> None:
        self._root = root
        self._say = say
        self.findings: list[Finding] = []

    def resolved(self, schema: Any, path: YamlPath) -> Any:
        """Return the schema itself, whatever was written where there are findings."""
        found = self._read(schema, path) if isinstance(schema, str) else schema
        if isinstance(found, dict):
            self._check(found, path, is_inline=found is schema)
        return found

    def _read(self, relative: str, path: YamlPath) -> Any:
        try:
            data = read_inside(self._root, relative, MAX_SCHEMA_BYTES)
            return parse_strict(data, require_object=True)
        except PathError as error:
            self.findings.append(
                self._say(
                    finding_code(error.code, FindingCode.UNREADABLE),
                    path,
                    error.message,
                    error.remedy,
                    error.found,
                    error.expected,
                )
            )
        except StrictJsonError as error:
            self.findings.append(
                self._say(
                    FindingCode.JSON_SCHEMA_INVALID,
                    path,
                    f'"{relative}" holds no JSON object',
                    "correct the JSON of that file",
                    str(error.code),
                    "one JSON object",
                )
            )
        return relative

    def _check(self, schema: dict[str, Any], path: YamlPath, *, is_inline: bool) -> None:
        dialect = schema.get("$schema", _DIALECT)
        if dialect != _DIALECT:
            self.findings.append(
                self._say(
                    FindingCode.JSON_SCHEMA_INVALID,
                    (*path, "$schema") if is_inline else path,
                    "the schema is written for another dialect",
                    "rewrite it for 2020-12, or delete $schema if it fits already",
                    str(dialect),
                    _DIALECT,
                )
            )
            return
        try:
            compile_schema(schema)
        except SchemaError as error:
            cause = error.__cause__
            steps: list[str | int] = []
            if isinstance(cause, jsonschema_rs.ValidationError):
                steps = list(cause.instance_path)
            named = "/".join(str(step) for step in steps)
            self.findings.append(
                self._say(
                    FindingCode.JSON_SCHEMA_INVALID,
                    (*path, *steps) if is_inline else path,
                    f'{error.message}: see "{named}"' if named else error.message,
                    error.remedy,
                    error.found,
                    error.expected,
                )
            )
