"""A small composer, and a way to prepare rows in a folder."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from brewslm.contracts import Composition
from brewslm.rows.dataset import DatasetSpec
from brewslm.rows.prepare import Preparation, prepare
from brewslm.rows.request import Request, SourceRequest

_OF_REQUEST = {item.name for item in fields(Request)}


def compose(
    profile: str,
    inputs: dict[str, Any],
    reference: dict[str, Any],
    _contract: dict[str, Any],
    system_prompt: str,
) -> Composition:
    """The prompt is the inputs, the answer the reference, both as JSON."""
    if profile == "language_modeling":
        return Composition([], 0, "all_tokens")
    turns = [{"role": "system", "content": system_prompt}] if system_prompt else []
    turns.append({"role": "user", "content": json.dumps(inputs)})
    if profile == "preference":
        return Composition(turns, len(turns), "preference")
    answer = {"role": "assistant", "content": json.dumps(reference)}
    return Composition([*turns, answer], len(turns), "completion")


def rows_of(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Rows of reports that share few words with each other."""
    labels = ("major", "minor", "blocker")
    return [
        {
            "text": f"report{index} pump{index * 7} stops{index * 13} hall{index * 3}",
            "label": labels[index % 3],
            "site": f"site{index % 5}",
        }
        for index in range(start, start + count)
    ]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def source(name: str = "tickets", role: str = "raw", **settings: Any) -> SourceRequest:
    """A source of classified reports in `<name>.jsonl`."""
    settings.setdefault("locator", f"jsonl:{name}.jsonl")
    settings.setdefault("mapper_id", "label_to_classification")
    return SourceRequest(name, role, **settings)


def requested(*sources: SourceRequest, **settings: Any) -> Request:
    """A request; settings are those of the dataset and, by their own names, of the request."""
    own = {name: settings.pop(name) for name in _OF_REQUEST & settings.keys()}
    return Request("support-bot", sources, DatasetSpec(**settings), **own)


def prepared(root: Path, *sources: SourceRequest, out: str = "out", **settings: Any) -> Preparation:
    """Prepare the sources of a folder."""
    request = requested(*sources, **settings)
    return prepare(request, root, root / out, compose, None)


def lines_of(folder: Path, name: str) -> list[dict[str, Any]]:
    """The lines of a prepared file."""
    return [json.loads(line) for line in (folder / name).read_bytes().splitlines()]


def codes_of(result: Preparation) -> list[str]:
    """Codes of findings, in order."""
    return [str(finding.code) for finding in result.findings]
