"""Columns that change what a conversation means are never left out with only a note."""

from pathlib import Path
from typing import Any

import pytest

from brewslm.diagnostics import Finding
from brewslm.rows.dataset import DatasetSpec, LeakCheckSpec, SplitSpec
from brewslm.rows.prepare import prepare
from brewslm.rows.request import Request, SourceRequest
from tests.rows.composing import compose, lines_of, write_rows

_TURNS = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "In hall B"}]
_CALLABLE = [{"name": "find", "parameters": {"type": "object"}}]


def _unread(root: Path, row: dict[str, Any], **more: Any) -> list[Finding]:
    write_rows(root / "chats.jsonl", [row])
    mapper_id = more.pop("mapper_id", "chat_messages_passthrough")
    source = SourceRequest("chats", "train", "jsonl:chats.jsonl", mapper_id=mapper_id, **more)
    request = Request(
        "desk",
        (source,),
        DatasetSpec(
            split=SplitSpec(train=1.0, validation=0.0, test=0.0),
            leak_check=LeakCheckSpec(near=None, ngram=0),
        ),
    )
    done = prepare(request, root, root / "out", compose)
    return [item for item in done.findings if item.code == "COLUMNS_UNREAD"]


@pytest.mark.parametrize(
    ("column", "value", "field"),
    [
        ("functions", _CALLABLE, "tools"),
        ("system_prompt", "Be brief.", "system"),
        ("System_Message", "Be brief.", "system"),
    ],
)
def test_a_field_under_another_name_is_a_warning_whose_remedy_works(
    tmp_path: Path, column: str, value: Any, field: str
) -> None:
    row = {"messages": _TURNS, column: value, "id": 7}
    note, warning = sorted(_unread(tmp_path, row), key=lambda item: item.severity)
    assert (note.severity, note.found) == ("info", "id (1 row)")
    assert (warning.severity, warning.found) == ("warning", f"{column} (1 row)")
    assert f"write {field}: {column} in field_mapping" in warning.actionable_fix
    (rest,) = _unread(tmp_path, row, field_mapping={field: column})
    assert rest.found == "id (1 row)"
    (line,) = lines_of(tmp_path / "out", "train.jsonl")
    assert "Be brief." in line["messages"][0]["content"] or line["tools"][0]["function"]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": _TURNS, "images": ["a.png"]},
        {"messages": _TURNS, "chat_history": [["a", "b"]]},
        {"messages": [{**_TURNS[0], "functions": _CALLABLE}, _TURNS[1]]},
    ],
)
def test_what_no_field_can_hold_is_a_warning(tmp_path: Path, row: dict[str, Any]) -> None:
    (warning,) = _unread(tmp_path, row)
    assert (warning.severity, "(1 row)" in warning.found) == ("warning", True)
    assert "remove it from the rows" in warning.actionable_fix


def test_other_tasks_have_no_conversation(tmp_path: Path) -> None:
    row = {"text": "pump 3", "label": "a", "images": ["a.png"], "system_prompt": "x"}
    (note,) = _unread(tmp_path, row, mapper_id="label_to_classification")
    assert note.severity == "info"
