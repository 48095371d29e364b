"""Events are a closed list of frozen values that survive JSON."""

import typing
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from brewslm import events
from brewslm.events import AnyEvent, Event, FindingEvent, GateEvent, SummaryEvent

TYPES = {
    "version", "plan", "approval", "planned_action", "drift", "finding", "lease_wait",
    "lease_acquired", "lease_lost", "recovery", "action_start", "action_progress", "action_log",
    "action_checkpoint", "action_complete", "action_error", "action_skip", "gate", "promotion",
    "interrupt", "state_saved", "rescue", "summary",
}  # fmt: skip
ADAPTER: TypeAdapter[Event] = TypeAdapter(AnyEvent)

SUMMARY: dict[str, Any] = {
    "type": "summary",
    "applied": ["dataset"],
    "reused": [],
    "failed": [],
    "skipped": [],
    "pending": [],
    "unchanged": ["model"],
    "serial": 3,
    "revision": None,
    "exit_code": 0,
    "elapsed_s": 1.5,
}


def classes() -> tuple[type[Event], ...]:
    union = typing.get_args(AnyEvent)[0]
    members: tuple[type[Event], ...] = typing.get_args(union)
    return members


def type_of(event: type[Event]) -> str:
    (name,) = typing.get_args(event.model_fields["type"].annotation)
    return str(name)


def test_the_list_of_types_is_closed_and_whole() -> None:
    assert sorted(map(type_of, classes())) == sorted(TYPES)
    assert set(classes()) == set(Event.__subclasses__())


@pytest.mark.parametrize("event", classes(), ids=type_of)
def test_each_class_is_named_after_its_type_and_says_what_it_is(event: type[Event]) -> None:
    words = type_of(event).split("_")
    assert event.__name__ == "".join(word.capitalize() for word in words) + "Event"
    assert event.__doc__
    assert event.model_fields["type"].default == type_of(event)


def test_events_come_back_from_json_as_their_own_class() -> None:
    event = ADAPTER.validate_python(SUMMARY)
    assert isinstance(event, SummaryEvent)
    assert ADAPTER.validate_json(event.model_dump_json()) == event


@pytest.mark.parametrize(
    "change", [{"type": "party"}, {"type": None}, {"extra": 1}, {"level": "loud"}, {"serial": "x"}]
)
def test_what_is_not_on_the_list_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python({**SUMMARY, **change})


def test_events_do_not_change() -> None:
    event = FindingEvent(finding={"code": "WRONG_TYPE"})
    with pytest.raises(ValidationError):
        event.level = "error"  # type: ignore[misc]  # what a listener must not do


def test_levels_fit_what_happened() -> None:
    levels = {type_of(event): event.model_fields["level"].default for event in classes()}
    assert {name for name, level in levels.items() if level != "info"} == {
        "lease_lost",
        "action_error",
        "interrupt",
        "rescue",
    }
    assert levels["lease_lost"] == levels["rescue"] == "critical"


def test_gate_without_a_value_is_a_gate() -> None:
    event = GateEvent(
        address="eval_pack",
        gate_id="floor",
        metric="macro_f1",
        slice=None,
        verdict="ERROR",
        reason="no_rows",
        value=None,
        bound=None,
        threshold=0.8,
        n=0,
        required=True,
    )
    assert ADAPTER.validate_json(event.model_dump_json()) == event


def test_format_version_is_major_and_minor() -> None:
    assert [part.isdigit() for part in events.FORMAT_VERSION.split(".")] == [True, True]
