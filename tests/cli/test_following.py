"""The loop behind `events --follow` with stores that do not always answer."""

from contextlib import closing

import pytest

from brewslm.apply.interruption import Stop
from brewslm.cli.following import follow
from brewslm.errors import StateError
from brewslm.state.records import RunEvent
from brewslm.state.store import StateReader
from brewslm.state.stores.memory import MemoryReader, MemoryStore
from tests.state.states import LINEAGE, NOW, lease, run_event


class Moody(MemoryStore):
    """A store that gives these errors, one a look, before it answers again."""

    def __init__(self, moods: list[str]) -> None:
        """moods: codes of errors, empty for an answer."""
        super().__init__()
        self.moods = moods
        self.asked = 0

    def exists(self) -> bool:
        """Return whether there is a state, and count who asks."""
        self.asked += 1
        return super().exists()

    def read(self) -> MemoryReader:
        """Open a look, in the mood for it."""
        if self.moods and (code := self.moods.pop(0)):
            raise StateError("no answer", code=code, remedy="wait")
        return super().read()


class Told:
    """What was told, and how often there was a pause."""

    def __init__(self, store: Moody, stop: Stop, pauses: int) -> None:
        """pauses: after so many somebody asks to stop."""
        self.events: list[str] = []
        self.warnings: list[str] = []
        self.pauses = 0

        def pause() -> bool:
            self.pauses += 1
            if self.pauses == pauses:
                stop.request("SIGINT")
            return True

        def find(reader: StateReader, amount: int) -> list[RunEvent]:
            return reader.run_events(limit=amount)

        follow(
            store,
            find,
            None,
            lambda events: self.events.extend(item.summary for item in events),
            pause,
            lambda error: self.warnings.append(error.code),
            stop,
        )


def made(moods: list[str]) -> Moody:
    store = Moody(moods)
    store.create(LINEAGE)
    with closing(store.acquire(lease(), NOW)) as session:
        session.add_run_event(run_event(summary="later"))
    return store


def test_store_that_does_not_answer_is_waited_for_and_told_once_a_time() -> None:
    silent = "state_write_failed"
    store = made([silent, silent, "", silent, ""])
    told = Told(store, Stop(), pauses=40)
    assert told.events == ["later"]
    assert told.warnings == [silent, silent]
    assert store.moods == []


def test_looks_at_a_silent_store_are_rarer() -> None:
    store = made(["state_write_failed"] * 100)
    told = Told(store, Stop(), pauses=41)
    assert told.warnings == ["state_write_failed"]
    assert 100 - len(store.moods) < 12


def test_damage_ends_it() -> None:
    with pytest.raises(StateError, match="no answer"):
        Told(made(["state_corrupt"]), Stop(), pauses=5)


def test_state_that_is_there_is_not_asked_for_again() -> None:
    store = made([])
    Told(store, Stop(), pauses=20)
    assert store.asked == 1
