"""Actors that take turns at a state: which one makes the next operation is told by a seed."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from msgspec.structs import replace

from brewslm.errors import BrewError
from brewslm.state.records import LeaseRecord
from brewslm.state.store import StateSession, StateStore

_RATIOS = (0.5, 0.1, 0.02)
"""How often another actor may go on; now and then one is done before the other begins."""
_LATE = "2100-01-01T00:00:00Z"


class Turns:
    """Lets one of several threads go on at a time."""

    def __init__(self, seed: int) -> None:
        """seed: which order it is."""
        self._chance = random.Random(seed)  # noqa: S311  an order that can be had again
        self._ratio = self._chance.choice(_RATIOS)
        self._turn = threading.Condition()
        self._living: list[int] = []
        self._next = -1
        self.steps = 0

    def run(self, actors: Sequence[Callable[[], object]]) -> list[object]:
        """Return what each actor gave, an error of ours included."""
        gave: list[object] = [None] * len(actors)

        def act(number: int) -> None:
            self._wait(number)
            try:
                gave[number] = actors[number]()
            except BrewError as error:
                gave[number] = error
            finally:
                self._leave(number)

        threads = [threading.Thread(target=act, args=(index,)) for index in range(len(actors))]
        self._living = list(range(len(actors)))
        self._choose()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return gave

    def step(self) -> None:
        """Let another actor go on, perhaps; called by the one whose turn it is."""
        with self._turn:
            number = self._next
            self.steps += 1
            self._choose()
        self._wait(number)

    def _wait(self, number: int) -> None:
        with self._turn:
            self._turn.wait_for(lambda: self._next == number)

    def _leave(self, number: int) -> None:
        with self._turn:
            self._living.remove(number)
            if self._living:
                self._choose()

    def _choose(self) -> None:
        with self._turn:
            if self._next not in self._living or self._chance.random() < self._ratio:
                self._next = self._chance.choice(self._living)
            self._turn.notify_all()


class TurnStore:
    """A state whose sessions take turns before each of their operations."""

    def __init__(self, store: StateStore, turns: Turns, *, is_impatient: bool) -> None:
        """is_impatient: whether a lease that is held counts as expired."""
        self._store = store
        self._turns = turns
        self._is_impatient = is_impatient

    def __getattr__(self, name: str) -> Any:
        """Do everything else as the store does it."""
        return getattr(self._store, name)

    def acquire(self, wanted: LeaseRecord, now: str) -> StateSession:
        """Take the lease when it is this actor's turn."""
        self._turns.step()
        asked = replace(wanted, renewed_boot_s=0.0)
        session: Any = TurnSession(
            self._store.acquire(asked, _LATE if self._is_impatient else now), self._turns
        )
        taken: StateSession = session
        return taken


class TurnSession:
    """A session that lets others go on before each of its operations."""

    def __init__(self, session: StateSession, turns: Turns) -> None:
        """session: does the work."""
        self._session = session
        self._turns = turns
        self._is_alone = False

    def __getattr__(self, name: str) -> Any:
        """Take turns before a call of the session."""
        found = getattr(self._session, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            if not self._is_alone:
                self._turns.step()
            return found(*arguments, **named)

        return call

    def holding(self) -> AbstractContextManager[None]:
        """Hold the lease while a block changes files; nobody else goes on inside."""
        return self._held()

    @contextmanager
    def _held(self) -> Iterator[None]:
        self._turns.step()
        with self._session.holding():
            self._is_alone = True
            try:
                yield
            finally:
                self._is_alone = False
