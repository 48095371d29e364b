"""The local store on a real disk: crashes, races, links, full disks."""

import errno
import os
import resource as limits
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from brewslm import durability
from brewslm.artifacts.local import LocalStore
from brewslm.artifacts.store import Produced
from brewslm.contracts import Output
from brewslm.durability import Step
from brewslm.errors import ArtifactError
from brewslm.files import make_private_folder
from brewslm.fingerprint import digest_bytes

HEAD = """
import os
import sys
from pathlib import Path
from brewslm.artifacts import local
from brewslm.artifacts.local import LocalStore
from brewslm.contracts import Output

folder = Path(sys.argv[1])
store = LocalStore(folder / "store")

def wait(*_):
    print("ready", flush=True)
    input()
"""


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def start(program: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + program, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )


def kill_when_ready(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    line = child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    _, errors = child.communicate()
    assert line == "ready\n", errors


def objects(store: LocalStore) -> list[Path]:
    return [path for path in (store._root / "objects").rglob("*") if path.is_file()]


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize("moment", ["os.fsync", "local.Path.replace"])
@pytest.mark.parametrize("call", ["put_file(folder / 'file')", "put_bytes(b'weights')"])
def test_kill_in_the_middle_of_a_put_leaves_nothing_visible(
    store: LocalStore, tmp_path: Path, moment: str, call: str
) -> None:
    (tmp_path / "file").write_bytes(b"weights")
    expected = Output(digest_bytes(b"weights"), 7)
    for name in ("incoming", f"objects/{expected.digest[7:9]}"):
        make_private_folder(tmp_path / "store" / name)
    kill_when_ready(start(f"{moment} = wait\nstore.{call}", tmp_path))
    assert not store.is_present(expected)
    assert [path for path in objects(store) if not path.name.startswith(".")] == []
    assert store.put_file(tmp_path / "file") == expected
    store.verify(expected)


def test_kill_while_a_folder_is_laid_leaves_no_target(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "source" / name).write_text(name)
    output = store.put_folder(tmp_path / "source")
    kill_when_ready(
        start(
            f"output = Output({output.digest!r}, {output.size_bytes}, is_folder=True)\n"
            "real, calls = os.fsync, []\n"
            "os.fsync = lambda fd: wait() if len(calls) == 1 else calls.append(real(fd))\n"
            "store.materialise(output, folder / 'target')\n",
            tmp_path,
        )
    )
    assert visible(tmp_path) == ["source", "store"]
    assert visible(store.materialise(output, tmp_path / "target")) == ["a", "b", "c"]


def test_concurrent_puts_of_the_same_content_all_succeed(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"weights" * 1000)
    program = "input()\nfor _ in range(5):\n    print(store.put_file(folder / 'file').digest)\n"
    children = [start(program, tmp_path) for _ in range(2)]
    outputs: list[Output] = []
    threads = [
        threading.Thread(target=lambda: outputs.append(store.put_file(tmp_path / "file")))
        for _ in range(4)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers = [child.communicate() for child in children]
    digest = digest_bytes(b"weights" * 1000)
    assert [errors for _, errors in answers] == ["", ""]
    assert {line for text, _ in answers for line in text.split()} == {digest}
    assert outputs == [Output(digest, 7000)] * 4
    assert len(objects(store)) == 1
    assert visible(store._root / "incoming") == []
    store.verify(outputs[0])


def test_object_whose_name_was_never_synced_is_synced_when_it_is_kept_again(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"weights")
    synced: list[str] = []

    def watch(step: Step, what: str, is_taken: bool) -> None:
        if step is Step.SYNC_FOLDER and is_taken:
            synced.append(what)
        if step is Step.SYNC_FOLDER and not is_taken and Path(what).parent.name == "objects":
            monkeypatch.setattr(durability, "watcher", note)
            raise OSError(errno.EIO, os.strerror(errno.EIO), what)

    def note(step: Step, what: str, is_taken: bool) -> None:
        if step is Step.SYNC_FOLDER and is_taken:
            synced.append(what)

    puts = (partial(store.put_bytes, b"other"), partial(store.put_file, tmp_path / "file"))
    for put in puts:
        monkeypatch.setattr(durability, "watcher", watch)
        with pytest.raises(OSError, match="Input/output error"):
            put()
        synced.clear()
        folder = store._object(put().digest).parent
        assert {str(folder), str(folder.parent)} <= set(synced)


def test_objects_are_private_and_read_only(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"first")
    before = os.umask(0)
    try:
        store.put_bytes(b"weights")
        store.put_file(tmp_path / "file")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in objects(store)} == {0o400}
    folders = [path for path in (store._root, *store._root.rglob("*")) if path.is_dir()]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


@pytest.mark.case("PTH-05")
def test_object_that_became_a_link_is_corrupt_and_its_target_survives(
    store: LocalStore, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"weights")
    output = store.put_bytes(b"weights")
    path = store._object(output.digest)
    path.unlink()
    path.symlink_to(outside)
    assert not store.is_present(output)
    for call in (
        lambda: store.verify(output),
        lambda: store.read_bytes(output.digest),
        lambda: store.materialise(output, tmp_path / "copy"),
    ):
        with pytest.raises(ArtifactError) as caught:
            call()
        assert (caught.value.code, caught.value.found) == ("artifact_corrupt", "a link")
    store.put_bytes(b"weights")
    assert not path.is_symlink()
    assert outside.read_bytes() == b"weights"
    assert outside.stat().st_mode & 0o777 != 0o400


@pytest.mark.case("PTH-04")
@pytest.mark.parametrize("part", ["store", "store/objects", "store/incoming", "store/produced"])
def test_store_that_is_a_link_is_not_written_through(
    store: LocalStore, tmp_path: Path, part: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / part).parent.mkdir(exist_ok=True)
    (tmp_path / part).symlink_to(elsewhere)
    (tmp_path / "file").write_bytes(b"weights")
    with pytest.raises(ArtifactError) as caught:
        _put_all(store, tmp_path / "file")
    assert caught.value.code == "system_config_invalid"
    assert caught.value.found == f"{Path(part).name} is a link"
    assert list(elsewhere.iterdir()) == []


def _put_all(store: LocalStore, path: Path) -> None:
    store.put_file(path)
    store.record_produced(Produced(digest_bytes(b""), "dataset", {}))


def test_folder_in_the_place_of_an_object_is_corrupt(store: LocalStore) -> None:
    output = store.put_bytes(b"weights")
    store._object(output.digest).unlink()
    store._object(output.digest).mkdir()
    assert not store.is_present(output)
    with pytest.raises(ArtifactError) as caught:
        store.verify(output)
    assert caught.value.code == "artifact_corrupt"
    store.set_aside(output.digest)
    store.put_bytes(b"weights")
    store.verify(output)


def test_object_that_is_set_aside_is_kept_for_looking_at(store: LocalStore) -> None:
    output = store.put_bytes(b"weights")
    for _ in range(2):
        store.set_aside(output.digest)
    aside = list((store._root / "aside").iterdir())
    assert [path.read_bytes() for path in aside] == [b"weights"]
    assert objects(store) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda _data: b"",
        lambda _data: b"[]",
        lambda data: data[:-9],
        lambda data: data.replace(b"1.5", b"9.5"),
        lambda _data: b"[" * 100_000,
    ],
    ids=["empty", "list", "cut", "other_value", "deep"],
)
def test_damaged_memory_of_a_result_is_none(store: LocalStore, change: object) -> None:
    assert callable(change)
    fingerprint = digest_bytes(b"facts")
    store.record_produced(Produced(fingerprint, "training_plan", {}, values={"loss": 1.5}))
    (path,) = (store._root / "produced").iterdir()
    path.write_bytes(change(path.read_bytes()))
    assert store.find_produced(fingerprint) is None
    assert store.all_produced("training_plan") == []


def test_memory_under_another_fingerprint_is_none(store: LocalStore) -> None:
    store.record_produced(Produced(digest_bytes(b"facts"), "dataset", {}))
    (path,) = (store._root / "produced").iterdir()
    path.rename(path.with_name("0" * 64 + ".json"))
    assert store.find_produced("sha256:" + "0" * 64) is None


def test_full_disk_leaves_the_store_as_it_was(store: LocalStore, tmp_path: Path) -> None:
    kept = store.put_bytes(b"kept")
    (tmp_path / "file").write_bytes(b"x" * 20_000)
    child = start(
        """
import errno
import resource as limits
limits.setrlimit(limits.RLIMIT_FSIZE, (8192, limits.RLIM_INFINITY))
for call in (lambda: store.put_file(folder / "file"), lambda: store.put_bytes(b"y" * 20_000)):
    try:
        call()
    except OSError as error:
        print(errno.errorcode[error.errno])
limits.setrlimit(limits.RLIMIT_FSIZE, (limits.RLIM_INFINITY, limits.RLIM_INFINITY))
store.verify(store.put_file(folder / "file"))
""",
        tmp_path,
    )
    assert child.communicate() == ("EFBIG\nEFBIG\n", "")
    assert limits.getrlimit(limits.RLIMIT_FSIZE)[0] == limits.RLIM_INFINITY
    assert sorted(path.stat().st_size for path in objects(store)) == [4, 20_000]
    assert visible(store._root / "incoming") == []
    store.verify(kept)


class Disturbed(LocalStore):
    """A store whose sources are rewritten just before they are kept."""

    def put_file(self, path: Path) -> Output:
        path.write_bytes(b"later")
        return super().put_file(path)


def test_file_that_changes_while_it_is_kept_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a").write_bytes(b"first")
    with pytest.raises(ArtifactError, match="digest") as caught:
        Disturbed(tmp_path / "store").put_folder(tmp_path / "source")
    assert "changed while it was kept" in caught.value.found
