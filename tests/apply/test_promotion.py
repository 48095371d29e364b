"""Links name what the state says is promoted, and only folders that hold it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from brewslm import durability
from brewslm.apply.laid_out import is_laid_out, lay_out_export, lay_out_model
from brewslm.apply.promotion import (
    follow_takeover,
    moving_links,
    point,
    repair_pointers,
    unpoint,
)
from brewslm.artifacts.local import LocalStore
from brewslm.contracts import Output
from brewslm.errors import ArtifactError, ExitCode, LeaseLostError
from brewslm.events import Event, PromotionEvent
from brewslm.plan.placed import short_name
from brewslm.state.records import DeploymentRecord, ResourceRecord
from brewslm.state.stores.memory import MemorySession, MemoryStore
from tests.apply.bench import Bench, digest_of_model, model_in
from tests.state.states import (
    AFTER_EXPIRY,
    LINEAGE,
    NOW,
    deployment,
    ended,
    lease,
    operation,
    resource,
)


def _link(home: Path, alias: str = "champion") -> str | None:
    link = home / "promoted" / alias
    return link.readlink().as_posix() if link.is_symlink() else None


def _named(digest: str) -> str:
    return f"../models/{short_name(digest)}"


def _edit(home: Path, digest: str) -> None:
    path = home / "models" / short_name(digest) / "content"
    path.chmod(0o600)
    path.write_text("another")


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.create(LINEAGE)
    return store


@pytest.fixture
def session(store: MemoryStore) -> MemorySession:
    return store.acquire(lease(), NOW)


def _promote(session: MemorySession, *promotions: DeploymentRecord) -> None:
    """Record promotions in order, and the deployments that they are of."""
    for number, promoted in enumerate(promotions):
        begun = operation(f"op-{len(session.operations())}-{number}", fence=session.fence)
        session.begin(begun)
        record = resource(
            f"deployment.{promoted.alias}",
            kind="deployment",
            values={"alias": promoted.alias},
            outputs={"promoted": Output(promoted.digest, 1, is_folder=True)},
        )
        session.end(ended(begun), records=[record], deployment=promoted)


def _forget(session: MemorySession, alias: str) -> None:
    begun = operation(f"delete-{alias}", fence=session.fence)
    session.begin(begun)
    session.end(ended(begun), removed=[f"deployment.{alias}"])


def test_a_link_moves_to_a_whole_folder_only(tmp_path: Path) -> None:
    first, second = model_in(tmp_path, "first"), model_in(tmp_path, "second")
    assert point(tmp_path, "champion", first)
    assert _link(tmp_path) == _named(first)
    assert not point(tmp_path, "champion", first)
    _edit(tmp_path, second)
    for digest in (second, digest_of_model("third")):
        with pytest.raises(ArtifactError):
            point(tmp_path, "champion", digest)
    assert _link(tmp_path) == _named(first)


def test_what_stands_in_the_place_of_a_link_is_set_aside(tmp_path: Path) -> None:
    digest = model_in(tmp_path, "first")
    (tmp_path / "promoted" / "champion").mkdir(parents=True)
    (tmp_path / "promoted" / "champion" / "notes").write_text("mine")
    assert point(tmp_path, "champion", digest)
    (found,) = (tmp_path / "promoted").glob(".champion.*.found")
    assert (found / "notes").read_text() == "mine"
    unpoint(tmp_path, "champion")
    assert _link(tmp_path) is None
    (tmp_path / "promoted" / "champion").write_text("mine")
    unpoint(tmp_path, "champion")
    assert (tmp_path / "promoted" / "champion").read_text() == "mine"


def test_links_name_the_newest_promotion_of_each_deployment_that_is_there(
    tmp_path: Path, session: MemorySession
) -> None:
    first, second, third = (model_in(tmp_path, text) for text in ("first", "second", "third"))
    _promote(
        session,
        deployment("champion", first),
        deployment("gone", first),
        deployment("broken", first),
    )
    assert sorted(repair_pointers(tmp_path, session)) == ["broken", "champion", "gone"]
    assert repair_pointers(tmp_path, session) == []
    _promote(session, deployment("champion", second), deployment("broken", third))
    _edit(tmp_path, third)
    _forget(session, "gone")
    assert repair_pointers(tmp_path, session) == ["champion"]
    assert _link(tmp_path) == _named(second)
    assert _link(tmp_path, "gone") is None
    assert _link(tmp_path, "broken") == _named(first)


def _point_and_lose(home: Path, digest: str) -> None:
    point(home, "champion", digest)
    raise LeaseLostError("taken over", code="lease_lost", remedy="brewslm plan")


def test_links_moved_under_a_lost_lease_name_what_is_promoted(
    tmp_path: Path, store: MemoryStore
) -> None:
    first, second = model_in(tmp_path, "first"), model_in(tmp_path, "second")
    died = store.acquire(lease(), NOW)
    _promote(died, deployment("champion", first))
    point(tmp_path, "champion", first)
    with pytest.raises(LeaseLostError), moving_links(tmp_path, died):
        _point_and_lose(tmp_path, second)
    assert _link(tmp_path) == _named(first)
    with moving_links(tmp_path, died):
        point(tmp_path, "champion", second)
    assert _link(tmp_path) == _named(second), "what is done under the lease stays"


def test_who_takes_over_makes_the_links_follow(tmp_path: Path, store: MemoryStore) -> None:
    first, second = model_in(tmp_path, "first"), model_in(tmp_path, "second")
    died = store.acquire(lease(), NOW)
    follow_takeover(tmp_path, died)
    _promote(died, deployment("champion", first))
    follow_takeover(tmp_path, died)
    assert _link(tmp_path) is None, "nothing was taken over"
    session = store.acquire(lease(), AFTER_EXPIRY)
    point(tmp_path, "champion", second)
    follow_takeover(tmp_path, session)
    assert _link(tmp_path) == _named(first)
    with pytest.raises(LeaseLostError), moving_links(tmp_path, died):
        point(tmp_path, "champion", second)
    assert _link(tmp_path) == _named(first)


def test_link_put_right_follows_who_promotes_meanwhile(
    tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = model_in(tmp_path, "first"), model_in(tmp_path, "second")
    died = store.acquire(lease(), NOW)
    _promote(died, deployment("champion", first))
    session = store.acquire(lease(), AFTER_EXPIRY)
    resources = died.resources

    def promoted_meanwhile() -> dict[str, ResourceRecord]:
        monkeypatch.undo()
        _promote(session, deployment("champion", second))
        point(tmp_path, "champion", second)
        return resources()

    monkeypatch.setattr(died, "resources", promoted_meanwhile)
    monkeypatch.setattr(died, "holding", _lost)
    with pytest.raises(LeaseLostError), moving_links(tmp_path, died):
        pass
    assert _link(tmp_path) == _named(second)


@contextmanager
def _lost() -> Iterator[None]:
    """Hold a lease that is gone when the block ends."""
    yield
    raise LeaseLostError("taken over", code="lease_lost", remedy="brewslm plan")


def test_links_have_followed_when_a_promotion_is_told(applied: Bench) -> None:
    (first,) = applied.deployments()
    links: list[dict[str, str]] = []

    def look(event: Event) -> None:
        if isinstance(event, PromotionEvent):
            found = (applied.home / "promoted").iterdir()
            links.append({path.name: path.readlink().name for path in found})
            assert (event.before, event.after) == (first.digest, first.digest)

    applied.hear = look
    applied.edit("deployment: {", "deployment: {alias: best, extra: {port: 8080}, ")
    assert applied.apply().exit_code is ExitCode.DONE
    assert links == [{"best": short_name(first.digest)}]
    newest, records = applied.deployments()[0], applied.records()
    assert (newest.alias, newest.digest) == ("best", first.digest)
    assert newest.base_digest == records["model"].outputs["base"].digest
    exports = ("export.adapter", "export.safetensors")
    assert newest.details == {
        "extra": {"port": 8080},
        "exports": {name: records[name].outputs["files"].digest for name in exports},
    }


def test_link_names_a_promoted_model_at_every_step(
    applied: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = applied.promoted()
    applied.edit("2.0e-3", "1.0e-3")
    named: set[str | None] = set()
    monkeypatch.setattr(durability, "watcher", lambda *_: named.add(applied.promoted()))
    assert applied.apply().exit_code is ExitCode.DONE
    assert named == {before, applied.promoted()}


class Held:
    """A model and its earlier version in a store, and how often the lease was held."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.artifacts = LocalStore(home / "store")
        self.holds = 0
        self.is_lost = False

    def keep(self, text: str) -> Output:
        """Put a model of one file into the store."""
        folder = self.home / "made" / text
        folder.mkdir(parents=True)
        (folder / "content").write_text(text)
        return self.artifacts.put_folder(folder)

    def holding(self) -> "Held":
        """Hold the lease."""
        return self

    def __enter__(self) -> None:
        if self.is_lost:
            raise LeaseLostError("taken over", code="lease_lost", remedy="brewslm plan")
        self.holds += 1

    def __exit__(self, *_: object) -> None:
        pass

    def model(self, model: Output) -> Path:
        """Lay out a model."""
        return lay_out_model(self.home, self.artifacts, model, self.holding)

    def export(self, files: Output) -> Path:
        """Lay out an export."""
        return lay_out_export(self.home, self.artifacts, "adapter", files, self.holding)

    def found(self, folder: Path) -> list[Path]:
        """Return what was set aside for a folder."""
        return list(folder.parent.glob(f".{folder.name}.*.found"))


@pytest.fixture
def held(tmp_path: Path) -> Held:
    return Held(tmp_path)


def _write(path: Path, text: str) -> None:
    path.chmod(0o700 if path.is_dir() else 0o600)
    path.write_text(text)


def test_a_model_that_is_whole_is_left_and_an_edited_one_is_set_aside(held: Held) -> None:
    model = held.keep("first")
    folder = held.model(model)
    assert (folder, held.holds) == (held.home / "models" / short_name(model.digest), 0)
    inode = folder.stat().st_ino
    assert held.model(model).stat().st_ino == inode
    assert held.holds == 0
    _write(folder / "content", "mine!")
    assert not is_laid_out(folder, model.digest)
    held.model(model)
    assert is_laid_out(folder, model.digest)
    (found,) = held.found(folder)
    assert ((found / "content").read_text(), held.holds) == ("mine!", 1)


def test_an_export_that_is_kept_is_replaced_and_an_edited_one_is_set_aside(held: Held) -> None:
    first, second = held.keep("first"), held.keep("second")
    folder = held.export(first)
    assert (folder, held.holds) == (held.home / "exports" / "adapter", 1)
    held.export(first)
    assert held.holds == 1, "what is there already needs no lease"
    held.export(second)
    assert is_laid_out(folder, second.digest)
    assert (held.found(folder), held.holds) == ([], 2)
    _write(folder / "content", "mine")
    held.export(first)
    assert is_laid_out(folder, first.digest)
    (found,) = held.found(folder)
    assert ((found / "content").read_text(), held.holds) == ("mine", 4)
    assert [path.name for path in folder.parent.iterdir() if path.name.endswith(".tmp")] == []


def test_an_export_that_may_not_take_its_place_leaves_nothing_behind(held: Held) -> None:
    first, second = held.keep("first"), held.keep("second")
    folder = held.export(first)
    held.is_lost = True
    with pytest.raises(LeaseLostError):
        held.export(second)
    assert list(folder.parent.iterdir()) == [folder]
    assert is_laid_out(folder, first.digest)


@pytest.mark.parametrize("name", ["first", "nothing"])
def test_a_link_in_the_place_of_an_export_is_set_aside(held: Held, name: str) -> None:
    first = held.keep("first")
    (held.home / "exports").mkdir()
    (held.home / "exports" / "adapter").symlink_to(held.home / "made" / name)
    folder = held.export(first)
    assert not folder.is_symlink()
    (found,) = held.found(folder)
    assert found.is_symlink()


def test_an_export_with_a_link_in_it_is_set_aside(held: Held) -> None:
    first, second = held.keep("first"), held.keep("second")
    folder = held.export(first)
    folder.chmod(0o700)
    (folder / "more").symlink_to("content")
    assert is_laid_out(held.export(second), second.digest)
    (found,) = held.found(folder)
    assert (found / "more").is_symlink()
