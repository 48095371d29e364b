"""Plain values into typed ones: unknown and foreign keys, other spellings, nulls, types and ranges,
all at once.
"""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace
from pydantic import BaseModel, ValidationError

from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.manifest.annotations import element_in, model_in, takes_null
from brewslm.manifest.carried_out import is_supported
from brewslm.manifest.schema import ManifestFile
from brewslm.manifest.spelling import (
    FOREIGN_KEYS,
    FORMAT_ALIASES,
    KEY_ALIASES,
    PLACEHOLDERS,
    UNAVAILABLE_VALUES,
    VALUE_ALIASES,
    Foreign,
)
from brewslm.manifest.type_errors import pattern_of, shown, type_refusal
from brewslm.manifest.yaml_file import Path, RefusedNumber, UnquotedDate, YamlFile, dotted
from brewslm.registry import closest
from brewslm.rows.source import scheme_of_path
from brewslm.stages.training_plan import TrainingPlanSpec

_CONFIG = "spec.training_plan.config"
_MODEL_FIELDS = (
    "spec.model.base_model",
    f"{_CONFIG}.base_model",
    f"{_CONFIG}.distillation_teacher_model",
)
_OBSERVED = ("spec", "training_plan", "config", "observability")
"""Holds the `observability_*` keys; no key of the manifest itself."""
_ABSENT = object()
_USUAL_MODE = TrainingPlanSpec.model_fields["training_mode"].default


class Shaped(Struct):
    """A manifest file as typed values, what was written in it, and findings."""

    file: ManifestFile | None = None
    written: set[str] = field(default_factory=set)
    """Dotted paths that stand in the file, canonical spelling."""
    findings: list[Finding] = field(default_factory=list)
    plain: Any = None
    """What was written, without unknown keys and other spellings; for repair."""
    meant: list[tuple[dict[str, Any], str, Any]] = field(default_factory=list)
    """Mapping in `plain`, key and value of each unknown key that is close to a known one."""


def shape(source: YamlFile) -> Shaped:
    """Return the typed manifest, or None in its place when there are error findings other than
    values that are not supported, which count as not written.
    """
    return _Shaper(source).run()


class _Shaper:
    def __init__(self, source: YamlFile) -> None:
        self._source = source
        self._result = Shaped()
        self._bad: set[Path] = set()
        self._indices: dict[Path, list[int]] = {}
        """Place in the file of each element that is kept, by the path of its list."""

    def run(self) -> Shaped:
        self._result.findings += self._source.findings
        self._result.plain = self._model(ManifestFile, self._source.value, ())
        self._validate(self._result.plain)
        return self._result

    # Walking values beside the models that describe them

    def _model(self, model: type[BaseModel], value: Any, path: Path) -> Any:
        if not isinstance(value, dict):
            return value
        value = self._renamed(value, path)
        kept: dict[str, Any] = {}
        observed: dict[str, Any] = {}
        for key, item in value.items():
            inner = (*path, key)
            if dotted(path) == _CONFIG and key.startswith("observability_"):
                observed[key] = item
                self._result.written.add(dotted(inner))
                continue
            if key not in model.model_fields or inner == _OBSERVED:
                self._unknown_key(model, key, item, path, kept)
                continue
            cleaned = self._value(model.model_fields[key].annotation, item, inner)
            if cleaned is not _ABSENT:
                kept[key] = cleaned
                self._result.written.add(dotted(inner))
        if observed:
            kept["observability"] = observed
        return kept

    def _value(self, annotation: Any, value: Any, path: Path) -> Any:
        if value is None:
            return self._null(annotation, path)
        if isinstance(value, RefusedNumber):
            self._bad.add(path)
            return _ABSENT
        if isinstance(value, UnquotedDate):
            self._report(
                FindingCode.UNQUOTED_DATE,
                path,
                "a date without quotes",
                f'quote it: "{value.text}"',
                value.text,
                "a quoted text",
            )
            self._bad.add(path)
            return value.text
        if isinstance(value, str):
            return self._text(value, path)
        model = model_in(annotation)
        if model is not None:
            return self._model(model, value, path)
        element = element_in(annotation)
        if element is not None and isinstance(value, list):
            return self._list(element, value, path)
        return _without_dates(value, self, path)

    def _list(self, element: Any, value: list[Any], path: Path) -> list[Any]:
        kept = []
        indices = []
        for index, item in enumerate(value):
            if item is None and not takes_null(element):
                self._null_refused((*path, index))
                continue
            cleaned = self._value(element, item, (*path, index))
            if cleaned is not _ABSENT:
                kept.append(cleaned)
                indices.append(index)
        self._indices[path] = indices
        return kept

    def _text(self, value: str, path: Path) -> Any:
        pattern = pattern_of(path)
        if value in PLACEHOLDERS:
            self._report(
                FindingCode.PLACEHOLDER_VALUE,
                path,
                "a placeholder stands here; it counts as not written",
                "write the real value, or delete the line",
                value,
                severity=Severity.WARNING,
            )
            return _ABSENT
        if "${" in value and "}" in value:
            self._report(
                FindingCode.VARIABLE_LITERAL,
                path,
                "variables are not expanded, this is plain text",
                "write the value; secrets go in as secret://NAME",
                severity=Severity.WARNING,
            )
        unavailable = UNAVAILABLE_VALUES.get(pattern, {})
        by_folded = {name.casefold(): name for name in unavailable}
        known = VALUE_ALIASES.get(pattern, {}).get(value, value)
        if known.casefold() in by_folded:
            self._report(
                FindingCode.VALUE_UNAVAILABLE,
                path,
                f'"{value}" is recognised but not supported',
                unavailable[by_folded[known.casefold()]],
                value,
            )
            return _ABSENT
        if pattern == "spec.export.quantization" and known.upper() != known:
            known = known.upper()
        if pattern in _MODEL_FIELDS and value.startswith("hf:") and value != "hf:":
            known = value.removeprefix("hf:")
        if pattern == "spec.data_sources[].locator" and value.startswith("file:"):
            known = _with_scheme(value)
        if pattern == f"{_CONFIG}.training_mode" or pattern.endswith("plan.training_mode"):
            lowered = value.strip().lower()
            known = (
                VALUE_ALIASES["spec.training_plan.training_mode"].get(lowered, lowered)
                or _USUAL_MODE
            )
        if known != value:
            self._report(
                FindingCode.ALIAS_USED,
                path,
                f'"{value}" is another spelling of "{known}"',
                f"write {path[-1] if isinstance(path[-1], str) else 'the value'}: {known}",
                value,
                known,
                severity=Severity.WARNING,
            )
        return known

    def _renamed(self, value: dict[str, Any], path: Path) -> dict[str, Any]:
        aliases = KEY_ALIASES.get(dotted(path), {})
        renamed = dict(value)
        for key in value:
            canonical = aliases.get(key)
            if canonical is None:
                continue
            if canonical in renamed:
                self._report(
                    FindingCode.DUPLICATE_MEANING,
                    (*path, key),
                    f'"{key}" and "{canonical}" mean the same',
                    f"keep {canonical}",
                )
                del renamed[key]
                continue
            self._report(
                FindingCode.ALIAS_USED,
                (*path, key),
                f'"{key}" is another spelling of "{canonical}"',
                f"write {canonical}",
                key,
                canonical,
                severity=Severity.WARNING,
            )
            renamed[canonical] = renamed.pop(key)
            self._source.places[(*path, canonical)] = self._source.place((*path, key))
        if pattern_of(path) in ("spec.data_sources[]", "spec.adapters[]"):
            self._format_as_role(renamed, path)
        return renamed

    def _format_as_role(self, value: dict[str, Any], path: Path) -> None:
        key = "type" if pattern_of(path) == "spec.data_sources[]" else "source_type"
        name = value.get(key)
        if name not in FORMAT_ALIASES:
            return
        value[key] = "raw"
        bare = value.get("file_path")
        if key == "type" and isinstance(bare, str) and name != "file" and "locator" not in value:
            value["locator"] = f"{name}:{bare}"
            del value["file_path"]
            self._source.places[(*path, "locator")] = self._source.place((*path, "file_path"))
        self._report(
            FindingCode.ALIAS_USED,
            (*path, key),
            f'"{name}" names a format, not what the rows may become',
            f"write {key}: raw, and the format in the locator",
            str(name),
            "raw",
            severity=Severity.WARNING,
        )

    def _null(self, annotation: Any, path: Path) -> Any:
        if takes_null(annotation):
            return None
        is_section = model_in(annotation) is not None or element_in(annotation) is not None
        if is_section or dotted(path[:-1]) == _CONFIG:
            return _ABSENT
        self._null_refused(path)
        return _ABSENT

    def _null_refused(self, path: Path) -> None:
        self._report(
            FindingCode.NULL_NOT_ALLOWED,
            path,
            "a value is needed here",
            "write a value, or delete the line",
            "null",
        )

    def _unknown_key(
        self, model: type[BaseModel], key: str, value: Any, path: Path, kept: dict[str, Any]
    ) -> None:
        foreign = FOREIGN_KEYS.get(key)
        if foreign is not None:
            self._report(
                FindingCode.FOREIGN_KEY,
                (*path, key),
                f'"{key}" is a key of another tool',
                _foreign_fix(foreign, value),
                key,
                foreign.name,
            )
            return
        near = closest(key, model.model_fields)
        if near:
            self._result.meant.append((kept, near[0], value))
        self._report(
            FindingCode.UNKNOWN_KEY,
            (*path, key),
            "unknown key",
            _unknown_fix(model, key, near, value, path),
            key,
            near[0] if near else f"a key of {dotted(path) or 'the manifest'}",
            suggestions=tuple(dict.fromkeys([*near, *sorted(_sections_with(key))])),
        )

    # Types and ranges, by the models themselves

    def _validate(self, plain: Any) -> None:
        try:
            typed = ManifestFile.model_validate_json(json.dumps(plain))
        except ValidationError as error:
            for item in error.errors(include_url=False):
                self._typed_error(dict(item))
            self._keep_the_best()
            return
        except (ValueError, TypeError) as error:
            self._report(
                FindingCode.WRONG_TYPE, (), f"a value cannot be read: {error}", "correct it"
            )
            return
        if all(is_no_bar(item) for item in self._result.findings):
            self._result.file = typed

    def _keep_the_best(self) -> None:
        """Of several findings about one value, one for each branch of a union, keep the closest."""
        closer = {
            item.field
            for item in self._result.findings
            if item.severity is Severity.ERROR and item.code != FindingCode.WRONG_TYPE
        }
        seen: set[str] = set()
        kept = []
        for item in self._result.findings:
            is_typed = item.code == FindingCode.WRONG_TYPE
            if is_typed and (item.field in closer or item.field in seen):
                continue
            if is_typed:
                seen.add(item.field)
            kept.append(item)
        self._result.findings = kept

    def _typed_error(self, item: dict[str, Any]) -> None:
        path = self._source_path(item["loc"])
        if any(path[: len(bad)] == bad for bad in self._bad):
            return
        if item.get("input", "") is None and item["type"] != "missing":
            self._null_refused(path)
            return
        refusal = type_refusal(item, path, self._source.texts.get(path))
        self._report(
            refusal.code, path, refusal.message, refusal.fix, refusal.found, refusal.expected
        )

    def _source_path(self, location: tuple[str | int, ...]) -> Path:
        """Return where an error stands in the file, branches of unions left out."""
        value = self._source.value
        path: Path = ()
        for step in location:
            if isinstance(value, dict) and isinstance(step, str):
                if (*path, step) == _OBSERVED:
                    continue
                path = (*path, step)
                if step not in value:
                    break
                value = value[step]
            elif isinstance(value, list) and isinstance(step, int):
                indices = self._indices.get(path, list(range(len(value))))
                if step < len(indices):
                    path = (*path, indices[step])
                    value = value[indices[step]]
        return path

    def _report(
        self,
        code: FindingCode,
        path: Path,
        message: str,
        fix: str,
        found: str = "",
        expected: str = "",
        severity: Severity = Severity.ERROR,
        suggestions: tuple[str, ...] = (),
    ) -> None:
        finding = Finding(
            code=code,
            severity=severity,
            message=message,
            actionable_fix=fix,
            field=dotted(path),
            place=self._source.place(path),
            found=found,
            expected=expected,
            suggestions=suggestions,
        )
        same = [
            item
            for item in self._result.findings
            if replace(item, expected="") == replace(finding, expected="")
        ]
        if not same:
            self._result.findings.append(finding)


def is_no_bar(finding: Finding) -> bool:
    """Return whether a manifest with this finding can be read to its end all the same: it is no
    error, or about a value that is not supported, which counts as not written.
    """
    return finding.severity is not Severity.ERROR or finding.code == FindingCode.VALUE_UNAVAILABLE


def _with_scheme(locator: str) -> str:
    path = locator.removeprefix("file:")
    scheme = scheme_of_path(path)
    return f"{scheme}:{path}" if scheme else locator


def _without_dates(value: Any, shaper: "_Shaper", path: Path) -> Any:
    if isinstance(value, RefusedNumber):
        shaper._bad.add(path)
        return None
    if isinstance(value, UnquotedDate):
        return shaper._value(str, value, path)
    if isinstance(value, dict):
        return {key: _without_dates(item, shaper, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_dates(item, shaper, (*path, i)) for i, item in enumerate(value)]
    return value


def _foreign_fix(foreign: Foreign, value: Any) -> str:
    """Return what to write in place of another tool's key; the value only where it fits."""
    note = f" ({foreign.note})" if foreign.note else ""
    if not foreign.name:
        return f"delete it: {foreign.note}"
    if "." in foreign.name:
        section, _, name = foreign.name.removesuffix("[]").rpartition(".")
        written = foreign.value or shown(value)
        if name in _models().get(section, ManifestFile).model_fields and _fits(
            section, name, foreign.value or value
        ):
            return f"write {foreign.name}: {written}{note}"
        return f"use {foreign.name} instead{note}"
    if (value is False and foreign.value) or (foreign.value == "nf4" and value == "lora"):
        return "delete it; it asks for what is the default here"
    if foreign.note.startswith("the opposite") and isinstance(value, bool):
        value = not value
    if _fits(_CONFIG, foreign.name, foreign.value or value):
        written = foreign.value or shown(value)
        return f"write {foreign.name}: {written} in {_CONFIG}{note}"
    return f"use {foreign.name} in {_CONFIG} instead{note}"


def _unknown_fix(
    model: type[BaseModel], key: str, near: tuple[str, ...], value: Any, path: Path
) -> str:
    """Return an edit that does away with an unknown key and fits its value, else to delete it."""
    elsewhere = [item for item in sorted(_sections_with(key)) if "[]" not in item]
    for place in elsewhere:
        section, _, name = place.rpartition(".")
        if section != dotted(path) and _fits(section, name, value):
            return f"move it to {place}"
    section = next((name for name, item in _models().items() if item is model), "")
    is_plain = not isinstance(value, (dict, list)) and value not in (None, "")
    if near and is_plain and _fits(section, near[0], value):
        return f"write {near[0]}: {shown(value)}"
    return "delete it" + (f"; the closest key is {near[0]}" if near else "")


@cache
def _models() -> dict[str, type[BaseModel]]:
    """Return the model of every section by its dotted path."""
    found: dict[str, type[BaseModel]] = {}
    pending: list[tuple[type[BaseModel], str]] = [(ManifestFile, "")]
    while pending:
        model, path = pending.pop()
        found[path] = model
        for name, info in model.model_fields.items():
            element = element_in(info.annotation)
            child = model_in(info.annotation) or (model_in(element) if element else None)
            inner = f"{path}.{name}" if path else name
            if child is not None:
                pending.append((child, inner if element is None else f"{inner}[]"))
    return found


def _fits(section: str, name: str, value: Any) -> bool:
    """Return whether a plain value is one that a field takes and that is supported."""
    model = _models().get(section)
    if model is None or name not in model.model_fields:
        return False
    try:
        model.model_validate_json(json.dumps({name: value}))
    except ValidationError as error:
        if any(item["loc"][:1] == (name,) for item in error.errors(include_url=False)):
            return False
    except (ValueError, TypeError):
        return False
    return is_supported(section, name, value)


def _sections_with(key: str) -> Iterator[str]:
    """Yield the path of every field of that name, entries of lists as []."""
    for section, model in _models().items():
        if key in model.model_fields and (section, key) != (_CONFIG, "observability"):
            yield f"{section}.{key}" if section else key
