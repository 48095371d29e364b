"""Which copies of the state stay below .brewslm/backups, whatever ends the process that prunes."""

import errno
import itertools
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.state.backups import KEPT, KEPT_S, back_up, prune
from brewslm.state.portable import open_pulled, pulled_bytes
from brewslm.state.stores.memory import MemoryStore
from tests.state.states import LINEAGE, NOW, ended, lease, operation, resource, start

_DAY_S = 86_400.0
_PROGRAM = """
import os, signal, sys
from pathlib import Path
from brewslm import durability
from brewslm.state.backups import back_up
from tests.state.test_backups import made_state

seen = 0

def watch(step, what, is_taken):
    global seen
    if seen == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    seen += 1

state = made_state().read()
durability.watcher = watch
back_up(Path(sys.argv[1]), state)
"""


def made_state() -> MemoryStore:
    store = MemoryStore()
    store.create(LINEAGE)
    with closing(store.acquire(lease(), NOW)) as session:
        session.begin(operation())
        session.end(ended(operation()), records=[resource()])
    return store


def keep(home: Path, ages_s: list[float]) -> list[Path]:
    """Leave copies of these ages, and return them in that order."""
    folder = home / "backups"
    folder.mkdir(parents=True, exist_ok=True)
    data = pulled_bytes(made_state().read())
    paths = []
    for number, age_s in enumerate(ages_s):
        path = folder / f"state-{number}-{number}.json"
        path.write_bytes(data)
        os.utime(path, (time.time() - age_s,) * 2)
        paths.append(path)
    return paths


def names(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "backups").iterdir())


def test_newest_ones_and_those_of_a_week_stay(tmp_path: Path) -> None:
    weeks = keep(tmp_path, [(30 - day) * _DAY_S for day in range(30)])
    written = back_up(tmp_path, made_state().read())
    assert written.name == f"state-1-1-{LINEAGE[:8]}.json"
    assert names(tmp_path) == sorted(path.name for path in (*weeks[-KEPT + 1 :], written))


def test_a_busy_week_stays_whole(tmp_path: Path) -> None:
    keep(tmp_path, [9 * _DAY_S] * 3 + [_DAY_S] * 40)
    back_up(tmp_path, made_state().read())
    assert len(names(tmp_path)) == 41


def test_few_old_ones_stay(tmp_path: Path) -> None:
    keep(tmp_path, [1000 * _DAY_S] * (KEPT - 1))
    before = names(tmp_path)
    written = back_up(tmp_path, made_state().read())
    assert names(tmp_path) == sorted([*before, written.name])


def test_clock_that_was_put_back_does_not_cost_the_newest(tmp_path: Path) -> None:
    ahead = keep(tmp_path, [-365 * _DAY_S] * 20 + [-375 * _DAY_S])
    written = tmp_path / "backups" / "state-99-99.json"
    written.write_bytes(ahead[0].read_bytes())
    os.utime(written, (0, 0))
    assert len(prune(written)) == len(ahead) + 1 - KEPT
    assert written.exists()
    assert len(names(tmp_path)) == KEPT


def test_clock_that_is_far_ahead_costs_no_young_copy(tmp_path: Path) -> None:
    ages_s = [_DAY_S * (1 + number / 10) for number in range(40)]
    paths = keep(tmp_path, ages_s)
    os.utime(paths[7], (4_102_444_800.0,) * 2)  # 2100
    assert prune(paths[7]) == []


def test_copies_of_another_lineage_keep_their_names_apart(tmp_path: Path) -> None:
    other = MemoryStore()
    other.create("ffffffff-0000-4000-8000-000000000000")
    mine = MemoryStore()
    mine.create(LINEAGE)
    written = [back_up(tmp_path, store.read()).name for store in (mine, other)]
    assert written == [f"state-0-0-{LINEAGE[:8]}.json", "state-0-0-ffffffff.json"]
    assert names(tmp_path) == sorted(written)


def test_folder_that_cannot_be_read_costs_no_durable_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Path) -> Iterator[Path]:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "iterdir", refused)
        written = back_up(tmp_path, made_state().read())
    assert open_pulled(written.read_bytes()).meta().serial == 1


def test_files_of_others_stay(tmp_path: Path) -> None:
    oldest = keep(tmp_path, [100 * _DAY_S] * 19 + [_DAY_S])[0]
    folder = tmp_path / "backups"
    theirs = tmp_path / "theirs.json"
    oldest.rename(theirs)
    oldest.symlink_to(theirs)
    (folder / "notes.txt").write_text("mine")
    (folder / "state-7-7.json.pushed").write_text("mine")
    (folder / "state-500-1.json").mkdir()
    back_up(tmp_path, made_state().read())
    assert theirs.exists()
    assert oldest.is_symlink()
    kept = {oldest.name, "notes.txt", "state-7-7.json.pushed", "state-500-1.json"}
    assert kept <= set(names(tmp_path))
    assert len(names(tmp_path)) == KEPT + len(kept)


@given(st.lists(st.floats(-10 * _DAY_S, 60 * _DAY_S), min_size=1, max_size=40), st.data())
def test_what_goes_is_old_and_not_among_the_newest(
    tmp_path_factory: pytest.TempPathFactory, ages_s: list[float], data: st.DataObject
) -> None:
    home = tmp_path_factory.mktemp("home")
    paths = keep(home, ages_s)
    newest = paths[data.draw(st.integers(0, len(paths) - 1))]
    written = {path: path.stat().st_mtime for path in paths}
    last_s = max((written[path] for path in paths if path != newest), default=0.0)
    removed = prune(newest)
    assert newest not in removed
    left = set(paths) - set(removed)
    assert {path for path in paths if path.exists()} == left
    assert len(left) >= min(KEPT, len(paths))
    for path in removed:
        assert last_s - written[path] > KEPT_S
        assert sum(written[other] >= written[path] for other in left) >= KEPT - 1
    if len(left) > KEPT:
        assert sum(last_s - written[path] <= KEPT_S for path in left) >= len(left) - KEPT


@pytest.mark.slow
def test_kill_at_any_step_keeps_the_newest(tmp_path: Path) -> None:
    for point in itertools.count():
        home = tmp_path / str(point)
        paths = keep(home, [_DAY_S, *(100 * _DAY_S + number for number in range(16))])
        stay = paths[: KEPT - 1]
        child = start(_PROGRAM, home, str(point))
        _, errors = child.communicate()
        assert errors == ""
        left = [path for path in (home / "backups").iterdir() if path.suffix == ".json"]
        assert set(stay) <= set(left)
        for path in left:
            assert open_pulled(path.read_bytes()).meta().serial == 1
        assert back_up(home, made_state().read()).exists()
        assert len([name for name in names(home) if not name.endswith(".tmp")]) == KEPT
        if child.returncode == 0:
            break
        assert child.returncode == -signal.SIGKILL
    assert point > 15
