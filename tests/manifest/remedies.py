"""Remedies carried out the way they are printed: the edit that a finding names, on the document."""

import copy
import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from brewslm.diagnostics import Finding

Document = dict[str, Any]
_WRITE = re.compile(
    r"(?:write|add) (?:(?P<key>[A-Za-z_][\w.\[\]-]*): )?(?P<value>.+?)"
    r"(?: in (?P<section>spec[\w.]*))?(?:,? or .*|; .*|, and .*| for .*| \(.*\))?"
)
_DELETE = re.compile(r"(?:delete (?:it|the line|the section)|drop the blueprint)\b.*")
_REMOVE = re.compile(r"remove (?P<key>\w+)\b.*")
_MOVE = re.compile(r"move it to (?P<section>spec[\w.]*)")
_KEEP = re.compile(r"keep (?P<key>\w+)")
VAGUE = re.compile(
    r"(?:write|add|use) (?:an?|the|it|that|one|values?|text|threshold|seeds?|true or|shares)\b(?!:)"
    r"|use |.*(\.\.\.|…|[A-Z]{4,}| at the )"
)
"""What asks for a choice of the reader's, so that no machine can carry it out."""


def applied(document: Document, finding: Finding) -> Document | None:
    """Return a copy with the finding's remedy carried out, None where it asks for a choice."""
    fix = finding.actionable_fix
    if VAGUE.match(fix.partition(";")[0]):
        return None
    edited = copy.deepcopy(document)
    steps = _steps(finding.field)
    try:
        if _DELETE.fullmatch(fix):
            _delete(edited, steps)
        elif match := _REMOVE.fullmatch(fix):
            _delete(edited, [*steps[:-1], match["key"]])
        elif match := _MOVE.fullmatch(fix):
            value = _delete(edited, steps)
            _put(edited, _steps(match["section"]), value)
        elif match := _KEEP.fullmatch(fix):
            _delete(edited, steps) if steps[-1] != match["key"] else _drop_rest(edited, steps)
        elif match := _WRITE.fullmatch(fix):
            _write(edited, steps, finding, match)
        else:
            return None
    except (KeyError, IndexError, TypeError, AttributeError):
        return None
    return edited


def _write(edited: Document, steps: list[str | int], finding: Finding, match: Any) -> None:
    value = _plain(match["value"])
    key, section = match["key"], match["section"]
    here = _at(edited, steps)
    if finding.code in ("FOREIGN_KEY", "UNKNOWN_KEY"):
        if key is None:
            key, value = match["value"], _at(edited, steps)
        _delete(edited, steps)
        target = _steps(section) if section else steps[:-1]
        target = _steps(key) if key.startswith("spec.") else [*target, key]
        _put(edited, target, value)
    elif key is None:
        _put(edited, steps, value)
    elif "." in key:
        whole = key if key.startswith(("spec.", "metadata.")) else f"spec.{key}"
        _put(edited, _steps(whole), value)
    elif isinstance(here, dict) and steps[-1] != key:
        here[key] = value
    elif isinstance(steps[-1], int) and steps[-2] == key:
        _put(edited, steps[:-1], value)
    else:
        at = next(index for index in range(len(steps), 0, -1) if isinstance(steps[index - 1], str))
        _put(edited, [*steps[: at - 1], key], value)


def _plain(text: str) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        return text


def _steps(path: str) -> list[str | int]:
    found = re.findall(r"\[(\d*)\]|([^.\[\]]+)", path)
    return [name if name else int(index or 0) for index, name in found]


def _at(document: Any, steps: list[str | int]) -> Any:
    for step in steps:
        if isinstance(document, dict) and step not in document:
            return None
        if isinstance(document, list) and not (isinstance(step, int) and step < len(document)):
            return None
        document = document[step]
    return document


def _put(document: Any, steps: list[str | int], value: Any) -> None:
    for step in steps[:-1]:
        if isinstance(step, str) and document.get(step) is None:
            document[step] = {}
        document = document[step]
    document[steps[-1]] = value


def _delete(document: Any, steps: list[str | int]) -> Any:
    for step in steps[:-1]:
        document = document[step]
    return document.pop(steps[-1])


def _drop_rest(document: Any, steps: list[str | int]) -> None:
    _delete(document, steps)
