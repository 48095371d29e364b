"""A store whose process is killed when it comes to a certain step."""

import os
import signal
from typing import Any

from brewslm import durability
from brewslm.durability import Step as Durable
from brewslm.state.schema import Execute, Schema, Step
from brewslm.state.store import StateStore
from tests.state.newer import store_at


class Countdown:
    """Kills this process at the step of a number, counted from 0."""

    def __init__(self, number: int) -> None:
        """number: of the step that is not lived through."""
        self._left = number

    def tick(self) -> None:
        """Come to a step."""
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1

    def watch(self, _step: Durable, _what: str, _is_taken: bool) -> None:
        """Come to a durable step, or away from it."""
        self.tick()

    def step(self, step: Step) -> Step:
        """Return a step of a migration each of whose statements counts."""

        def in_tables(execute: Execute) -> None:
            def counted(query: str, values: Any = ()) -> Any:
                self.tick()
                return execute(query, values)

            step.in_tables(counted)

        return Step(in_tables, step.in_snapshot)


class CountedFolder:
    """A folder of objects each of whose writes counts, before and after."""

    def __init__(self, folder: Any, countdown: Countdown) -> None:
        """folder: does the writing."""
        self._folder = folder
        self._countdown = countdown

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._folder, name)
        if name not in ("create", "replace", "put", "discard"):
            return found

        def counted(*arguments: Any) -> Any:
            self._countdown.tick()
            result = found(*arguments)
            self._countdown.tick()
            return result

        return counted


def dying_at(number: int, where: str, schema: Schema) -> StateStore:
    """Return a store that kills its process at the step of that number."""
    countdown = Countdown(number)
    durability.watcher = countdown.watch
    steps = {version: countdown.step(step) for version, step in schema.steps.items()}
    store: Any = store_at(where, Schema(schema.version, schema.tables, steps))
    if "://" in where and not where.startswith("postgresql"):
        store._folder = CountedFolder(store._folder, countdown)
    return store  # type: ignore[no-any-return]  # a store whose folder is wrapped
