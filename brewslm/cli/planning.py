"""Making a plan for a command: manifest, state, artifacts and digest cache brought together."""

import atexit
import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import replace

from brewslm.address import Address
from brewslm.artifacts.store import ArtifactReader
from brewslm.cli.device_flag import wanted_device
from brewslm.cli.devices import device_findings
from brewslm.cli.provenance import git_commit
from brewslm.cli.reviewing import NO_REVIEW, Review, reviewed
from brewslm.cli.row_progress import row_progress
from brewslm.cli.session import Session
from brewslm.contracts import Spec, Work
from brewslm.errors import ApplyError, MissingExtraError, RefusedError
from brewslm.files import make_private_folder, write_atomic
from brewslm.manifest.host import HostFacts, observe_host
from brewslm.manifest.load import load_manifest
from brewslm.plan.build import Built, PlanOptions, build
from brewslm.plan.device import Device
from brewslm.plan.digest_cache import DigestCache
from brewslm.plan.plan import REFRESH_ONLY, Plan
from brewslm.plan.saved import check_current, read_saved
from brewslm.plan.selection import Selection
from brewslm.render import words
from brewslm.stages.kinds import KINDS
from brewslm.stages.training_plan import TrainingPlanSpec
from brewslm.state.empty import EmptyState
from brewslm.state.rescue import waiting
from brewslm.state.store import StateReader
from brewslm.state.stores.sqlite import SqliteStore

_DIGESTS = "digests.json"
_TRAIN_LIBRARIES = ("torch", "transformers", "peft", "trl", "datasets", "accelerate")
_UNWRITABLE = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "permission_denied"),
}


class Planned(Struct, frozen=True):
    """A plan, and what apply needs beside it."""

    plan: Plan
    specs: Mapping[Address, Spec]
    base_folder: Path | None
    prepare: Callable[[], Path]
    policy: Mapping[str, Any] | None = None
    """What the policy decides now; a saved plan carries what it decided then."""
    host: HostFacts = HostFacts()
    """This machine, with the device that the work is done on."""
    wanted_device: str = "auto"


class PlanWishes(Struct, frozen=True):
    """What the flags of a command ask of a plan."""

    refresh: str = "auto"
    max_deletes: int = 3
    is_refresh_only: bool = False
    selection: Selection = Selection()
    review: Review = NO_REVIEW
    is_untrusted: bool = False
    """Whether only tracked files are read, and nothing of the host that could say otherwise."""
    snapshot: Path | None = None
    """A pulled state that stands for the project's own."""
    device: str | None = None
    """The device that was asked for; None leaves it to the environment."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether another machine holds the state and what is kept."""
        return self.is_untrusted or self.snapshot is not None

    @classmethod
    def of(cls, plan: Plan) -> "PlanWishes":
        """Return what a saved plan was asked for; it is looked at as hard as any fresh one."""
        return cls(
            refresh="full" if plan.options.get("refresh") == "full" else "auto",
            max_deletes=int(plan.options.get("max_deletes", 3)),
            is_refresh_only=plan.mode == REFRESH_ONLY,
            device=plan.options.get("device"),
            selection=Selection(
                plan.targets, plan.excludes, tuple(plan.options.get("replace", ()))
            ),
            review=Review.of(plan),
        )


def make_plan(session: Session, wishes: PlanWishes) -> Planned:
    """Return the plan of the project as it is.

    Raises: FindingsError, PlanError, StateError.
    """
    if wishes.is_elsewhere:
        built, host = _built_elsewhere(session, wishes)
        return _planned(built, host, wishes.device or "auto")
    with open_state(session) as state:
        for path in waiting(session.rescue_folders, state.meta().lineage):
            session.say(f"note[errored_state_present]: apply waits for brewslm state push {path}")
        built, host = _built(session, state, wishes)
    return _planned(built, host, wanted_device(wishes.device, session.environment))


def use_saved_plan(session: Session, path: Path, expect_digest: str | None) -> Planned:
    """Return a saved plan that still fits the project.

    Raises: PlanError, StalePlanError, RefusedError.
    """
    saved = read_saved(path, expect_digest)
    with open_state(session) as state:
        wishes = PlanWishes.of(saved)
        built, host = _built(session, state, wishes)
        check_current(saved, state, built.plan)
    fresh = _planned(built, host, wanted_device(wishes.device, session.environment))
    return replace(fresh, plan=saved)


@contextmanager
def open_state(session: Session) -> Iterator[StateReader]:
    """Lend the project's state for reading; a project without one has an empty state."""
    store = session.store()
    if not store.exists():
        yield EmptyState()
        return
    with closing(store.read()) as reader:
        meta = reader.meta()
        if meta.migrated_from is not None:
            session.say(
                f"note[state_migrated]: the state has version {meta.migrated_from}; a copy in "
                f"memory has version {meta.schema_version}, and the next apply migrates the state"
            )
        yield reader


def check_extras(planned: Planned) -> None:
    """Refuse to begin work whose libraries are not installed.

    Raises: MissingExtraError that says which extra to install.
    """
    needed = {
        action.address
        for action in planned.plan.actions
        if action.is_work and KINDS[action.target].work is Work.DOOR and action.reuse is None
    }
    if not needed:
        return
    training = planned.specs.get(Address("training_plan"))
    held = training.config.quantization if isinstance(training, TrainingPlanSpec) else "none"
    check_libraries(", ".join(sorted(needed)), held)


def check_libraries(what: str, quantization: str) -> None:
    """Refuse work whose libraries are not installed; quantization: of the base model.

    Raises: MissingExtraError.
    """
    libraries = [*_TRAIN_LIBRARIES, *(["bitsandbytes"] if quantization != "none" else [])]
    missing = [name for name in libraries if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"{what} cannot be carried out here",
            code="missing_extra",
            found="not installed: " + ", ".join(missing),
            expected="the extra train",
            remedy='pip install "brewslm[train]"',
        )


def check_room(session: Session, planned: Planned) -> None:
    """Refuse to begin work that the disk has no room for even if everything is as small as it may.

    Raises: RefusedError with disk_too_small.
    """
    needed_bytes = sum(item.estimate.disk_bytes.low or 0 for item in planned.plan.actions)
    free_bytes = shutil.disk_usage(session.root).free
    if needed_bytes > free_bytes:
        raise RefusedError(
            "the disk has no room for what the plan makes",
            code="disk_too_small",
            found=f"{words.size(free_bytes)} free",
            expected=f"at least {words.size(needed_bytes)}, as priced in the plan",
            remedy="free disk space, then: brewslm apply",
        )


def check_place(session: Session) -> None:
    """Refuse to begin work that no state can be written for.

    Raises: StateError with system_config_invalid.
    """
    store = session.store()
    if isinstance(store, SqliteStore):
        store.check_folder()


def write_output(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file that the user asked for.

    Raises: ApplyError with permission_denied, disk_full or output_unwritable.
    """
    try:
        write_atomic(path.absolute(), data, mode=mode)
    except OSError as error:
        raise not_writable(path, error) from error


def not_writable(path: Path, error: OSError) -> ApplyError:
    """Return the error of a file that the user asked for and that can't be written."""
    return ApplyError(
        f"{path} cannot be written",
        code=_UNWRITABLE.get(error.errno or 0, "output_unwritable"),
        found=str(error.strerror),
        expected="a folder that exists and can be written",
        remedy="name another path",
    )


def _built_elsewhere(session: Session, wishes: PlanWishes) -> tuple[Built, HostFacts]:
    """Plan without the project's stores, and of its commit alone where nobody trusts the files."""
    looked = import_module("brewslm.cli.elsewhere").looked  # only such plans pay for its modules
    with looked(session, wishes.snapshot, is_untrusted=wishes.is_untrusted) as found:
        built, host = _built(found.session, found.state, wishes, found.artifacts)
    built.plan = built.plan.noted(found.findings, can_apply=found.is_state_known)
    return built, host


def _built(
    session: Session,
    state: StateReader,
    wishes: PlanWishes,
    artifacts: ArtifactReader | None = None,
) -> tuple[Built, HostFacts]:
    """artifacts: None for the project's own."""
    environment = {} if wishes.is_untrusted else session.environment
    wanted = wanted_device(wishes.device, environment)
    host = observe_host(wanted, environment, may_ask_drivers=not wishes.is_elsewhere)
    manifest = load_manifest(session.root, session.manifest, host)
    digests = load_digests(session)
    digests.trusts_stat = wishes.refresh != "full"
    options = PlanOptions(
        scratch=_scratch(session),
        digests=digests,
        environment=session.environment,
        git_commit=git_commit(session.repository),
        refresh=wishes.refresh,
        max_deletes=wishes.max_deletes,
        home=None if wishes.is_elsewhere else session.home,
        is_elsewhere=wishes.is_elsewhere,
        is_refresh_only=wishes.is_refresh_only,
        selection=wishes.selection,
        memory_bytes=host.memory_bytes,
        wanted_device=wanted,
        device=Device(cores=host.cores, has_cuda=host.has_cuda),
    )
    with row_progress(session) as tell:
        told = replace(options, tell_rows=tell)
        built = build(manifest, state, artifacts or session.artifacts(), told)
    if host.is_device_missing or not wishes.is_elsewhere:
        if found := device_findings(wanted, host, built, manifest):
            built.plan = built.plan.noted(found)
    built.plan = reviewed(session, manifest, built.plan, wishes.review, host)
    if digests.is_changed and options.scratch == session.cache:
        try:
            write_atomic(session.cache / _DIGESTS, orjson.dumps(digests.to_json()))
        except OSError as error:
            _note_no_cache(session, str(error.strerror))
    return built, host


def _scratch(session: Session) -> Path:
    """Return the cache, or where it cannot be written a folder that goes with this process."""
    try:
        session.make_home()
        if os.access(make_private_folder(session.cache), os.W_OK):
            return session.cache
        why = "no right to write"
    except OSError as error:
        why = str(error.strerror)
    _note_no_cache(session, why)
    folder = Path(tempfile.mkdtemp(prefix="brewslm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _note_no_cache(session: Session, why: str) -> None:
    session.say(f"note[cache_unwritable]: {session.cache.name}: {why}; the next plan is slower")


def _planned(built: Built, host: HostFacts, wanted: str) -> Planned:
    def prepare() -> Path:
        if built.prepared_folder is None:
            raise ApplyError(
                "the prepared rows are gone from the cache",
                code="artifact_missing",
                remedy="brewslm apply",
            )
        return built.prepared_folder

    return Planned(
        plan=built.plan,
        specs=built.specs,
        base_folder=built.base.folder if built.base else None,
        prepare=prepare,
        policy=built.plan.policy,
        host=host,
        wanted_device=wanted,
    )


def load_digests(session: Session) -> DigestCache:
    """Return the digests that earlier plans kept in the cache; an unreadable cache is empty."""
    now_ns = time.time_ns()
    try:
        document = json.loads((session.cache / _DIGESTS).read_bytes())
    except (OSError, ValueError):
        document = None
    return DigestCache.from_json(document, now_ns)
