"""A state in an object store under a lease, and how its loss is told whatever the version of the
state has become meanwhile.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from brewslm.errors import LeaseLostError, StateError, StateVersionError
from brewslm.state import faults
from brewslm.state.lease import moved
from brewslm.state.records import LeaseRecord
from brewslm.state.run_events import migrated_event
from brewslm.state.stores.memory import Content, ContentStore, MemorySession, append_event


class SharedStore(ContentStore, Protocol):
    """Where a session's content is kept, and what can be told of it whatever its version."""

    @property
    def version(self) -> int:
        """The version that is written."""
        ...

    def offset_s(self) -> float:
        """Return how far the service's clock is ahead of this machine's."""
        ...

    def back_up(self) -> tuple[int, str]:
        """Keep a copy of what is in force; return its version and where the copy is.

        Raises: StateError.
        """
        ...

    def check_fence(self, lease: LeaseRecord) -> None:
        """Refuse to go on under a lease whose fence is outdated.

        Raises: LeaseLostError, StateError.
        """
        ...

    def give_back(self, lease: LeaseRecord) -> None:
        """End a lease; one that is gone already stays so.

        Raises: StateError.
        """
        ...


class ObjectSession(MemorySession):
    """A state under a lease whose times are the service's."""

    _store: SharedStore

    @property
    def _content(self) -> Content:  # type: ignore[override]  # a session looks at the present
        with self._unless_lost():
            return self._store.content()

    def migrate(self, now: str) -> None:
        """Bring the content to this version and tell it in the history; a copy is kept first.

        Raises: LeaseLostError, StateError that names the copy.
        """
        self._store.check_fence(self._held)
        before, copy = self._store.back_up()
        after, held = self._store.version, self._held
        try:
            with self._writing() as content:
                append_event(
                    content, migrated_event(held.lease_id, held.holder, now, before, after)
                )
        except LeaseLostError:
            raise
        except StateError as error:
            raise faults.not_migrated(error, before, after, copy) from error

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Look before a block that changes files, and again behind it: the service cannot keep
        others from taking over meanwhile.

        Raises: LeaseLostError, also behind a block that a takeover met.
        """
        with super().holding():
            yield
            with super().holding():
                return

    def renew(self, renewed_at: str, expires_at: str) -> LeaseRecord:
        """Extend the lease."""
        offset_s = self._store.offset_s()
        return super().renew(moved(renewed_at, offset_s), moved(expires_at, offset_s))

    def release(self) -> None:
        """Give the lease back; harmless where another one took over."""
        if not self._is_released:
            self._is_released = True
            self._store.give_back(self._held)

    @contextmanager
    def _writing(self) -> Iterator[Content]:
        with self._unless_lost(), super()._writing() as content:
            yield content

    @contextmanager
    def _unless_lost(self) -> Iterator[None]:
        """Let a state of a newer program be told as the loss of the lease that it came with.

        Raises: LeaseLostError.
        """
        try:
            yield
        except StateVersionError:
            self._store.check_fence(self._held)
            raise
