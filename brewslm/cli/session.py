"""What every command starts from: the project folder, where its state and artifacts are, and how to
talk.
"""

import os
import stat
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from msgspec import Struct, field

from brewslm.cli.backend import backend_url
from brewslm.errors import RefusedError, StateError
from brewslm.files import make_private_folder, write_atomic
from brewslm.render import words
from brewslm.state.mounts import system_mounts

if TYPE_CHECKING:
    from brewslm.artifacts.store import ArtifactStore
    from brewslm.redactor import Redactor
    from brewslm.state.schema import Schema
    from brewslm.state.store import StateStore

_IGNORE_ALL = b"*\n"


class Session(Struct, frozen=True):
    """One call of the program."""

    root: Path
    """The project folder, absolute."""
    manifest: str = "brewslm.yaml"
    """The manifest's path relative to it."""
    origin: Path | None = None
    """The project folder that `root` is a copy of; None where it is no copy."""
    is_quiet: bool = False
    is_debug: bool = False
    is_offline: bool = False
    """Whether no socket may be opened."""
    is_ascii: bool = False
    has_color: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    schema: "Schema | None" = None
    """Another version of the state than this program's own."""
    mounts: Callable[[], str] = system_mounts
    """Gives the system's table of mounts."""
    now_ns: Callable[[], int] = time.time_ns
    """The wall clock."""
    out: TextIO = field(default_factory=lambda: sys.stdout)
    """Results."""
    err: TextIO = field(default_factory=lambda: sys.stderr)
    """Talk: progress, warnings, errors."""
    progress: TextIO = field(default_factory=lambda: sys.stderr)
    """How far a plan is; unlike talk it is no part of its answer."""

    @property
    def repository(self) -> Path:
        """The folder of the work tree, where commits are looked up."""
        return self.origin or self.root

    @property
    def home(self) -> Path:
        """The folder that holds state, artifacts, runs and cache."""
        return self.root / ".brewslm"

    @property
    def cache(self) -> Path:
        """The folder whose content may be deleted at any time."""
        return self.home / "cache"

    @property
    def rescue_folders(self) -> list[Path]:
        """Where records are put that the state could not take, the first one first."""
        named = self.environment.get("BREWSLM_RESCUE_DIR")
        return [self.home, *([Path(named).absolute()] if named else [])]

    @property
    def redact(self) -> "Redactor":
        """What takes the values of secrets out of a text."""
        from brewslm.cli.redaction import redaction  # noqa: PLC0415  start-up time

        return redaction(self.root, self.manifest, self.environment)

    @property
    def state_schema(self) -> "Schema":
        """The version of the state that commands write."""
        from brewslm.state.schema import SCHEMA  # noqa: PLC0415  start-up time

        return self.schema or SCHEMA

    def redacted(self, text: str) -> str:
        """Return a text without the values of secrets; a project without any pays nothing."""
        from brewslm.cli.redaction import has_secrets  # noqa: PLC0415  start-up time

        known = has_secrets(self.root, self.manifest, self.environment)
        return self.redact(text) if known else text

    def store(self) -> "StateStore":
        """Return the project's state store, which need not exist yet.

        Raises: ManifestError, StateError, RefusedError, MissingExtraError when the manifest names a
        shared store that cannot be used here.
        """
        self._refuse_links()
        own = self.own_store()
        url = self._shared("state")
        if url is None:
            return own
        if own.exists():
            raise _backend_changed()
        from brewslm.state.opening import open_shared_state  # noqa: PLC0415  start-up time

        return open_shared_state(url, self.state_schema)

    def own_store(self) -> "StateStore":
        """Return the state store beside the manifest, which need not exist."""
        from brewslm.state.stores.sqlite import SqliteStore  # noqa: PLC0415  start-up time

        return SqliteStore(self.home / "state.db", self.state_schema, self.mounts)

    def artifacts(self) -> "ArtifactStore":
        """Return the project's artifact store.

        Raises: ManifestError, StateError, RefusedError, ArtifactError, MissingExtraError,
        UnreachableError when the manifest names a shared store that cannot be used here.
        """
        from brewslm.artifacts.local import LocalStore  # noqa: PLC0415  start-up time
        from brewslm.artifacts.opening import open_shared_artifacts  # noqa: PLC0415  start-up time

        url = self._shared("artifacts")
        return LocalStore(self.home / "store") if url is None else open_shared_artifacts(url)

    def is_state_shared(self) -> bool:
        """Return whether several hosts may keep the state together.

        Raises: ManifestError, StateError, RefusedError.
        """
        return self._shared("state") is not None

    def is_shared(self) -> bool:
        """Return whether state or artifacts are kept outside of the project.

        Raises: ManifestError, StateError, RefusedError.
        """
        return any(self._shared(store) is not None for store in ("state", "artifacts"))

    def is_state_apart(self) -> bool:
        """Return whether other states than this one may lead to bytes in the artifact store.

        Raises: ManifestError, StateError, RefusedError.
        """
        return self._shared("artifacts") is not None and self._shared("state") is None

    def _shared(self, store: str) -> str | None:
        """Return the URL of a shared store that the manifest names."""
        url = backend_url(self.root, self.manifest, store, self.environment)
        if url is not None and self.is_offline:
            raise RefusedError(
                f"backend.{store} is a shared store, and no socket may be opened",
                code="network_refused",
                found="--offline",
                expected="a connection to the store",
                remedy="run the command without --offline",
            )
        return url

    def make_home(self) -> Path:
        """Make sure that .brewslm exists, private and ignored by git; return it.

        Raises: StateError when it, or what is kept in it, is a link to somewhere else.
        """
        self._refuse_links()
        make_private_folder(self.home)
        mode = stat.S_IMODE(self.home.stat().st_mode)
        if mode & stat.S_IWOTH:
            self.home.chmod(mode & stat.S_IRWXU)
            self.say(
                f"note[permission]: {self.home.name} was open to every user; it is private now"
            )
        ignore = self.home / ".gitignore"
        if not ignore.exists():
            write_atomic(ignore, _IGNORE_ALL, mode=0o644)
        return self.home

    def _refuse_links(self) -> None:
        for place in (self.home, self.home / "state.db", self.home / "store"):
            if place.is_symlink():
                raise _linked(place.relative_to(self.root))

    def say(self, text: str) -> None:
        """Write a line of talk."""
        if not self.is_quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Write a line that is told to whoever wants no talk, too."""
        text = words.to_ascii(text) if self.is_ascii else text
        self.err.write(self.redacted(text) + "\n")
        self.err.flush()

    def put(self, text: str) -> None:
        """Write a result for people."""
        self.put_data(self.spelled(text))

    def spelled(self, text: str) -> str:
        """Return a text for people in the characters that were asked for."""
        return words.to_ascii(text) if self.is_ascii else text

    def put_data(self, text: str) -> None:
        """Write a result for programs, as it is."""
        self.out.write(self.redacted(text))
        self.out.flush()


def _backend_changed() -> StateError:
    return StateError(
        "the manifest names a shared state, and this project has one of its own",
        code="BACKEND_CHANGED",
        found=".brewslm/state.db",
        expected="one place that holds the state",
        remedy=(
            "delete the line backend.state; or, to leave the project's own state behind: "
            "mv .brewslm/state.db .brewslm/state.db.left"
        ),
    )


def _linked(place: Path) -> StateError:
    return StateError(
        f"{place} is a link, and nothing is written through it",
        code="system_config_invalid",
        found="a link",
        expected="a folder or file of the project's own",
        remedy=f"put what it names in its place: rm {place}, then move the real one there",
    )
