"""The NDJSON stream: each line one JSON value, numbered without gaps, bounded."""

import io
import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.events import (
    ActionErrorEvent,
    ActionLogEvent,
    ActionProgressEvent,
    Event,
    FindingEvent,
    Listener,
    StateSavedEvent,
)
from brewslm.render.stream import EventStream, told_to_all

NOW = "2026-03-01T10:00:00Z"


def written(*events: Event) -> list[str]:
    out = io.StringIO()
    stream = EventStream(out, lambda: NOW)
    for event in events:
        stream(event)
    return out.getvalue().split("\n")[:-1]


def strict(line: str) -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    document: dict[str, Any] = json.loads(line, parse_constant=refuse)
    return document


def test_lines_are_numbered_from_one_and_carry_the_time() -> None:
    lines = [strict(line) for line in written(*[StateSavedEvent(serial=1, revision=None)] * 3)]
    assert [line["seq"] for line in lines] == [1, 2, 3]
    assert {line["ts"] for line in lines} == {NOW}
    assert lines[0] == {
        "type": "state_saved",
        "level": "info",
        "message": "",
        "operation_id": "",
        "serial": 1,
        "revision": None,
        "seq": 1,
        "ts": NOW,
    }


def test_long_events_are_cut_to_a_line_that_says_so() -> None:
    event = ActionLogEvent(
        address="training_plan", stream="stdout", text="ü" * 70_000, message="worker says"
    )
    (line,) = written(event)
    document = strict(line)
    assert len(line.encode()) < 64 * 1024
    assert (document["type"], document["address"], document["seq"]) == (
        "action_log",
        "training_plan",
        1,
    )
    assert document["message"].endswith("(cut: the line was over 64 KiB)")


@pytest.mark.parametrize("name", ["message", "address", "operation_id"])
def test_no_field_makes_a_line_too_long(name: str) -> None:
    values = {"address": "training_plan", "message": "failed", "operation_id": "op-1"}
    event = ActionErrorEvent(
        reason_code="training_oom", remedy="less", elapsed_s=1.0, **{**values, name: "☃" * 100_000}
    )
    (line,) = written(event)
    assert len(line.encode()) < 64 * 1024
    assert strict(line)["type"] == "action_error"


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_metric_that_is_not_finite_is_null(value: float) -> None:
    event = ActionProgressEvent(
        address="training_plan",
        unit="steps",
        done=1,
        total=None,
        elapsed_s=1.0,
        eta_s=None,
        metrics={"loss": value, "rate": 0.5},
    )
    assert strict(written(event)[0])["metrics"] == {"loss": None, "rate": 0.5}
    document = FindingEvent(finding={"deep": [{"value": value}]})
    assert strict(written(document)[0])["finding"] == {"deep": [{"value": None}]}


@given(st.text())
def test_any_text_is_one_line_of_valid_json(text: str) -> None:
    (line,) = written(ActionLogEvent(address="dataset", stream="stderr", text=text, message=text))
    assert strict(line)["text"] == text
    assert line.encode()


def test_what_is_no_text_is_marked() -> None:
    (line,) = written(
        FindingEvent(finding={"place": b"data-\xff".decode(errors="surrogateescape")})
    )
    assert strict(line)["finding"] == {"place": "data-?"}
    assert line.encode()


def test_threads_do_not_mix_their_lines() -> None:
    out = io.StringIO()
    stream = EventStream(out, lambda: NOW)

    def write_fifty() -> None:
        for serial in range(50):
            stream(StateSavedEvent(serial=serial, revision=None))

    threads = [threading.Thread(target=write_fifty) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = out.getvalue().splitlines()
    assert [strict(line)["seq"] for line in lines] == list(range(1, 201))


def test_all_listeners_are_told_in_order() -> None:
    told: list[tuple[str, Event]] = []

    def listener(name: str) -> Listener:
        def tell(event: Event) -> None:
            told.append((name, event))

        return tell

    event = StateSavedEvent(serial=1, revision=1)
    told_to_all([listener("a"), listener("b")])(event)
    assert told == [("a", event), ("b", event)]
