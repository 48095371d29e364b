"""Chats as trainers and services write them: read where that is clear, told once a source."""

import json
from pathlib import Path
from typing import Any

import pytest

from brewslm.rows.dataset import DatasetSpec, LeakCheckSpec, SplitSpec
from brewslm.rows.prepare import Preparation, prepare
from brewslm.rows.request import Request, SourceRequest
from brewslm.tasks.compose import compose
from tests.rows.composing import lines_of, write_rows

_ASK = {"role": "user", "content": "Where is pump 3?"}
_REPLY = {"role": "assistant", "content": "In hall B"}
_CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "find", "arguments": {"pump": 3}},
}
_TOOL = {"name": "find", "description": "Find a pump.", "parameters": {"type": "object"}}
_RESULT = {"role": "tool", "tool_call_id": "c1", "content": "hall B"}


def _prepared(
    root: Path, *rows: dict[str, Any], mapper_id: str = "chat_messages_passthrough", **more: Any
) -> Preparation:
    write_rows(root / "chats.jsonl", list(rows))
    source = SourceRequest("chats", "train", "jsonl:chats.jsonl", mapper_id=mapper_id, **more)
    request = Request(
        "desk",
        (source,),
        DatasetSpec(
            split=SplitSpec(train=1.0, validation=0.0, test=0.0),
            leak_check=LeakCheckSpec(near=None, ngram=0),
            system_prompt=more.get("system_prompt", ""),
        ),
    )
    return prepare(request, root, root / "out", compose)


def _line(root: Path, *messages: Any, **columns: Any) -> dict[str, Any]:
    """Return the prepared line of one row of messages."""
    result = _prepared(root, {"messages": list(messages), **columns})
    assert result.manifest["accounting"]["total"]["rejected"] == {}
    (line,) = lines_of(root / "out", "train.jsonl")
    return line


def _code(root: Path, *messages: Any, **columns: Any) -> str:
    result = _prepared(root, {"messages": list(messages), **columns})
    (code,) = result.manifest["accounting"]["total"]["rejected"]
    return str(code)


def _adjusted(result: Preparation) -> dict[str, str]:
    return {item.found: item.message for item in result.findings if item.code == "ROWS_ADJUSTED"}


@pytest.mark.parametrize(
    ("flags", "is_trained"),
    [
        ({}, True),
        ({"train": False}, False),
        ({"train": True}, True),
        ({"loss": False}, False),
        ({"weight": 0}, False),
        ({"weight": 0.0}, False),
        ({"weight": 1}, True),
        ({"train": None, "weight": None}, True),
        ({"train": False, "weight": 0}, False),
    ],
)
def test_flag_of_a_turn_is_kept_under_one_name(
    tmp_path: Path, flags: dict[str, Any], is_trained: bool
) -> None:
    line = _line(tmp_path, _ASK, {**_REPLY, **flags}, _ASK, {**_REPLY, **flags})
    for turn in (line["messages"][1], line["messages"][3]):
        assert turn == (_REPLY if is_trained else {**_REPLY, "train": False})


@pytest.mark.parametrize(
    "flags", [{"weight": 0.5}, {"train": "no"}, {"train": True, "weight": 0}, {"loss": 2}]
)
def test_flag_that_means_neither_is_rejected(tmp_path: Path, flags: dict[str, Any]) -> None:
    assert _code(tmp_path, _ASK, {**_REPLY, **flags}) == "invalid_train_flag"


@pytest.mark.parametrize(
    "written",
    [
        {"tool_calls": [_CALL], "content": None},
        {"tool_calls": [_CALL]},
        {"tool_calls": [_CALL], "content": ""},
        {
            "tool_calls": [
                {**_CALL, "function": {"name": "find", "arguments": '{"pump": 3}'}},
            ]
        },
        {"tool_calls": json.dumps([_CALL])},
        {"tool_calls": [{"id": "c1", "name": "find", "arguments": {"pump": 3}}]},
    ],
)
def test_calls_reach_the_turns_in_one_form(tmp_path: Path, written: dict[str, Any]) -> None:
    calling = {"role": "assistant", **written}
    line = _line(tmp_path, _ASK, calling, _RESULT, _REPLY, tools=[_TOOL])
    assert line["messages"] == [
        _ASK,
        {"role": "assistant", "content": "", "tool_calls": [_CALL]},
        {"role": "tool", "content": "hall B", "tool_call_id": "c1"},
        _REPLY,
    ]
    assert line["tools"] == [{"type": "function", "function": _TOOL}]


def test_calls_and_reasoning_of_the_last_turn_are_learnt(tmp_path: Path) -> None:
    final = {
        "role": "assistant",
        "content": "I look.",
        "tool_calls": [_CALL],
        "reasoning_content": "A pump",
        "train": False,
    }
    line = _line(tmp_path, _ASK, final)
    assert line["messages"][-1] == final
    assert line["messages"][line["completion_from"] :] == [final]


@pytest.mark.parametrize(
    "tools",
    [
        [_TOOL],
        [{"type": "function", "function": _TOOL}],
        json.dumps([{"type": "function", "function": _TOOL}]),
    ],
)
def test_tools_are_read_in_every_form(tmp_path: Path, tools: Any) -> None:
    line = _line(tmp_path, _ASK, _REPLY, tools=tools)
    assert line["tools"] == [{"type": "function", "function": _TOOL}]


@pytest.mark.parametrize("tools", [None, "", "  "])
def test_blank_tools_are_none(tmp_path: Path, tools: Any) -> None:
    assert "tools" not in _line(tmp_path, _ASK, _REPLY, tools=tools)


_ACCEPTED: list[tuple[str, Any, list[dict[str, Any]]]] = [
    (
        "content_parts_joined",
        [
            {**_ASK, "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            _REPLY,
        ],
        [{"role": "user", "content": "a\nb"}, _REPLY],
    ),
    ("messages_from_text", json.dumps([_ASK, _REPLY]), [_ASK, _REPLY]),
    (
        "role_renamed",
        [{"role": "developer", "content": "Be brief."}, _ASK, {**_REPLY, "role": "model"}],
        [{"role": "system", "content": "Be brief."}, _ASK, _REPLY],
    ),
    ("empty_system_dropped", [{"role": "system", "content": ""}, _ASK, _REPLY], [_ASK, _REPLY]),
    (
        "user_turns_merged",
        [_ASK, {"role": "user", "content": "Quick!"}, _REPLY],
        [{"role": "user", "content": "Where is pump 3?\n\nQuick!"}, _REPLY],
    ),
    (
        "opening_reply_not_trained",
        [{"role": "assistant", "content": "Hello!"}, _ASK, _REPLY],
        [{"role": "assistant", "content": "Hello!", "train": False}, _ASK, _REPLY],
    ),
    ("trailing_turns_dropped", [_ASK, _REPLY, _ASK], [_ASK, _REPLY]),
    (
        "tool_result_as_text",
        [
            _ASK,
            {"role": "assistant", "tool_calls": [_CALL]},
            {**_RESULT, "content": {"n": 1}},
            _REPLY,
        ],
        [
            _ASK,
            {"role": "assistant", "content": "", "tool_calls": [_CALL]},
            {"role": "tool", "content": '{"n":1}', "tool_call_id": "c1"},
            _REPLY,
        ],
    ),
]


@pytest.mark.parametrize(
    ("name", "written", "read"), _ACCEPTED, ids=[item[0] for item in _ACCEPTED]
)
def test_what_is_clear_is_read_and_told_once_with_its_count(
    tmp_path: Path, name: str, written: Any, read: list[dict[str, Any]]
) -> None:
    plain = {"messages": [{**_ASK, "content": "Anything else?"}, _REPLY]}
    other = json.loads(json.dumps(written).replace("pump 3?", "pump 4?"))
    result = _prepared(tmp_path, plain, {"messages": written}, {"messages": other})
    lines = lines_of(tmp_path / "out", "train.jsonl")
    expected = read if "pump 3?" in json.dumps(written) else None
    assert any(line["messages"] == (expected or read) for line in lines)
    (told,) = [item for item in result.findings if item.code == "ROWS_ADJUSTED"]
    assert told.found == name
    assert told.message.startswith(("1 row:", "2 rows:"))
    assert str(told.place) == "chats.jsonl:2"
    assert result.manifest["accounting"]["total"]["rejected"] == {}


@pytest.mark.parametrize(
    ("code", "messages"),
    [
        (
            "unsupported_content",
            [{**_ASK, "content": [{"type": "image_url", "image_url": {}}]}, _REPLY],
        ),
        ("invalid_role_order", [_ASK, _REPLY, _REPLY]),
        ("invalid_role_order", [_ASK, {"role": "system", "content": "x"}, _REPLY]),
        ("unknown_role", [_ASK, {**_REPLY, "role": "narrator"}]),
        ("empty_turn", [_ASK, {**_REPLY, "content": None}]),
        ("missing_assistant_reply", [_ASK]),
        ("missing_assistant_reply", [_REPLY]),
        ("invalid_tool_call", [{**_ASK, "tool_calls": [_CALL]}, _REPLY]),
        ("invalid_tool_call", [_ASK, {**_REPLY, "tool_calls": [{"name": "f", "arguments": "{"}]}]),
    ],
)
def test_what_is_not_clear_is_rejected(
    tmp_path: Path, code: str, messages: list[dict[str, Any]]
) -> None:
    assert _code(tmp_path, *messages) == code


def test_role_map_names_the_roles_of_a_source(tmp_path: Path) -> None:
    row = {"messages": [{"role": "kunde", "content": "x"}, {"role": "berater", "content": "y"}]}
    options = {"role_map": {"kunde": "user", "berater": "assistant"}}
    result = _prepared(tmp_path, row, options=options)
    (line,) = lines_of(tmp_path / "out", "train.jsonl")
    assert [turn["role"] for turn in line["messages"]] == ["user", "assistant"]
    assert _adjusted(result) == {}


def test_sharegpt_calls_and_observations_are_turns(tmp_path: Path) -> None:
    row = {
        "system": "Be brief.",
        "tools": json.dumps([_TOOL]),
        "conversations": [
            {"from": "human", "value": "Where?"},
            {"from": "function_call", "value": '{"name": "find", "arguments": {"pump": 3}}'},
            {"from": "observation", "value": "hall B"},
            {"from": "gpt", "value": "In hall B"},
        ],
    }
    _prepared(tmp_path, row, mapper_id="sharegpt_to_chat")
    (line,) = lines_of(tmp_path / "out", "train.jsonl")
    roles = [turn["role"] for turn in line["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant"]
    assert line["messages"][2]["tool_calls"][0]["function"]["arguments"] == {"pump": 3}
    assert line["tools"]


def test_system_column_begins_a_chat_and_may_not_contradict_it(tmp_path: Path) -> None:
    system = {"role": "system", "content": "Be brief."}
    assert _line(tmp_path, _ASK, _REPLY, system="Be brief.")["messages"] == [system, _ASK, _REPLY]
    assert _line(tmp_path, system, _ASK, _REPLY, system="Be brief.")["messages"][0] == system
    assert _code(tmp_path, system, _ASK, _REPLY, system="Be long.") == "conflicting_system"


@pytest.mark.parametrize(
    ("mapper_id", "row"),
    [
        ("instruction_passthrough", {"instruction": "And pump 4?", "output": "Hall C"}),
        ("prompt_completion_passthrough", {"prompt": "And pump 4?", "completion": "Hall C"}),
        ("qa_pair_passthrough", {"question": "And pump 4?", "answer": "Hall C"}),
    ],
)
def test_system_and_history_come_before_the_prompt(
    tmp_path: Path, mapper_id: str, row: dict[str, Any]
) -> None:
    history = [["Where is pump 3?", "In hall B"]]
    written = {**row, "system": "Be brief.", "history": history}
    result = _prepared(tmp_path, written, mapper_id=mapper_id)
    (line,) = lines_of(tmp_path / "out", "train.jsonl")
    assert [(turn["role"], turn["content"]) for turn in line["messages"]] == [
        ("system", "Be brief."),
        ("user", "Where is pump 3?"),
        ("assistant", "In hall B"),
        ("user", "And pump 4?"),
        ("assistant", "Hall C"),
    ]
    assert (line["completion_from"], line["loss"]) == (4, "completion")
    bound = result.manifest["adapters"][0]["field_mapping"]
    assert (bound["system"], bound["history"]) == ("system", "history")
    again = _prepared(tmp_path, row, mapper_id=mapper_id)
    assert "system" not in again.manifest["adapters"][0]["field_mapping"]


def test_prompt_turns_of_a_pair_of_lists_are_not_trained(tmp_path: Path) -> None:
    row = {"prompt": [_ASK, _REPLY, _ASK], "completion": [_REPLY]}
    _prepared(tmp_path, row, mapper_id="prompt_completion_passthrough")
    (line,) = lines_of(tmp_path / "out", "train.jsonl")
    assert [turn.get("train", True) for turn in line["messages"]] == [True, False, True, True]


def test_columns_and_keys_that_nothing_reads_are_named_with_their_counts(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"messages": [{**_ASK, "name": "Ann"}, _REPLY], "score": 3, "note": "a"},
        {"messages": [{**_ASK, "content": "And pump 5?"}, _REPLY], "score": 4, "note": None},
    ]
    (told,) = [
        item for item in _prepared(tmp_path, *rows).findings if item.code == "COLUMNS_UNREAD"
    ]
    assert told.found == "messages/*/name (1 row), note (1 row), score (2 rows)"
    assert told.severity == "info"


def test_prepared_bytes_of_plain_chats_are_as_before(tmp_path: Path) -> None:
    line = _line(tmp_path, _ASK, _REPLY, _ASK, {**_REPLY, "train": False})
    assert list(line) == [
        "row_id",
        "task_profile",
        "group_key",
        "weight",
        "messages",
        "completion_from",
        "loss",
        "inputs",
        "reference",
        "tags",
    ]
