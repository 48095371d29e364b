"""What every artifact store does: bytes by digest, verified on the way out."""

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from brewslm.artifacts.local import LocalStore
from brewslm.artifacts.memory import MemoryArtifacts
from brewslm.artifacts.opening import open_shared_artifacts
from brewslm.artifacts.store import ArtifactStore, Produced
from brewslm.contracts import Output
from brewslm.errors import ArtifactError
from brewslm.fingerprint import canonical_json, digest_bytes, digest_folder

ABSENT = "sha256:" + "a" * 64


def damage_shared(store: Any, digest: str, data: bytes) -> None:
    name = digest.removeprefix("sha256:")
    store._folder.put(f"objects/{name[:2]}/{name[2:]}", data)


def damage(store: ArtifactStore, digest: str, data: bytes) -> None:
    """What a failing disk does: other bytes under the same name."""
    if isinstance(store, MemoryArtifacts):
        store.damage(digest, data)
        return
    if not isinstance(store, LocalStore):
        damage_shared(store, digest, data)
        return
    path = store._object(digest)
    path.chmod(0o600)
    path.write_bytes(data)


@pytest.fixture
def local_store(tmp_path: Path) -> ArtifactStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def memory_store() -> ArtifactStore:
    return MemoryArtifacts()


@pytest.fixture
def shared_store(bucket_url: str) -> ArtifactStore:
    return open_shared_artifacts(bucket_url)


@pytest.fixture(
    params=[
        "local_store",
        "memory_store",
        pytest.param("shared_store", marks=pytest.mark.slow),
    ]
)
def store(request: pytest.FixtureRequest) -> ArtifactStore:
    made: ArtifactStore = request.getfixturevalue(request.param)
    return made


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(ArtifactError) as caught:
        call()
    assert caught.value.remedy
    return caught.value.code


def test_kept_bytes_come_back_by_digest(store: ArtifactStore) -> None:
    output = store.put_bytes(b"weights")
    assert output == Output(digest_bytes(b"weights"), 7)
    assert store.put_bytes(b"weights") == output
    assert store.is_present(output)
    assert store.read_bytes(output.digest) == b"weights"
    store.verify(output)


def test_kept_file_outlives_its_source(store: ArtifactStore, tmp_path: Path) -> None:
    source = tmp_path / "adapter.safetensors"
    source.write_bytes(b"weights")
    output = store.put_file(source)
    source.write_bytes(b"others!")
    assert store.materialise(output, tmp_path / "deep" / "copy").read_bytes() == b"weights"


def test_empty_things_are_kept(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    nothing = store.put_bytes(b"")
    folder = store.put_folder(tmp_path / "empty")
    assert (nothing.size_bytes, folder.size_bytes, folder.is_folder) == (0, 0, True)
    assert store.is_present(nothing)
    assert store.is_present(folder)
    assert tree(store.materialise(folder, tmp_path / "again")) == {}
    assert (tmp_path / "again").is_dir()


def test_folder_comes_back_whole(store: ArtifactStore, tmp_path: Path) -> None:
    files = {"config.json": b"{}", "deep/er/zürich ☃.bin": b"\0\1", "deep/empty": b""}
    output = store.put_folder(write(tmp_path / "source", files))
    assert output.digest == digest_folder(tmp_path / "source")
    assert output.size_bytes == 4
    assert list(store.listing(output.digest)) == sorted(files)
    assert tree(store.materialise(output, tmp_path / "copy")) == files
    assert digest_folder(tmp_path / "copy") == output.digest


def test_sweeping_keeps_everything_that_was_kept(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(b"a")
    folder, data = store.put_folder(tmp_path / "in"), store.put_bytes(b"b")
    assert store.sweep() == 0
    store.verify(folder)
    assert store.read_bytes(data.digest) == b"b"


def test_everything_that_is_kept_is_listed(store: ArtifactStore, tmp_path: Path) -> None:
    assert store.stored() == []
    folder = store.put_folder(write(tmp_path / "source", {"a": b"first", "b/c": b"second"}))
    store.record_produced(produced(outputs={"lora_adapter": folder}))
    listed = store.stored()
    files = store.listing(folder.digest).values()
    assert [item.digest for item in listed] == sorted(
        [folder.digest, *(item.digest for item in files)]
    )
    sizes = {item.digest: item.size_bytes for item in listed}
    assert {item.digest: item.size_bytes for item in files}.items() <= sizes.items()
    assert all(item.kept_s <= time.time() + 1 for item in listed)


def test_marked_lineages_are_told_and_never_swept(store: ArtifactStore) -> None:
    assert store.lineages() == []
    for lineage in ("b2-f", "a1", "b2-f"):
        store.mark_lineage(lineage)
    store.put_bytes(b"weights")
    store.sweep()
    store.empty_trash()
    assert store.lineages() == ["a1", "b2-f"]
    assert [item.size_bytes for item in store.stored()] == [7]


@pytest.mark.parametrize("lineage", ["", ".", "..", "../x", "a/b", "a\0b", "-", "a" * 65, "a\n"])
def test_what_cannot_name_a_marker_is_a_bug(store: ArtifactStore, lineage: str) -> None:
    with pytest.raises(ValueError, match="no lineage"):
        store.mark_lineage(lineage)
    assert store.lineages() == []


def test_trash_is_taken_back_until_it_is_emptied(store: ArtifactStore) -> None:
    one, other = store.put_bytes(b"weights"), store.put_bytes(b"other")
    store.trash(one.digest)
    store.trash(ABSENT)
    assert not store.is_present(one)
    assert [item.digest for item in store.stored()] == [other.digest]
    store.sweep()
    store.verify(one)
    store.trash(one.digest)
    store.put_bytes(b"weights")
    store.trash(other.digest)
    store.empty_trash()
    store.sweep()
    store.verify(one)
    assert code_of(lambda: store.verify(other)) == "artifact_missing"


def test_unknown_digests_are_missing(store: ArtifactStore, tmp_path: Path) -> None:
    for output in (Output(ABSENT, 1), Output(ABSENT, 1, is_folder=True)):
        assert not store.is_present(output)
        assert code_of(lambda: store.verify(output)) == "artifact_missing"  # noqa: B023  called at once
        assert code_of(lambda: store.materialise(output, tmp_path / "x")) == "artifact_missing"  # noqa: B023
    assert code_of(lambda: store.read_bytes(ABSENT)) == "artifact_missing"
    store.set_aside(ABSENT)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("digest", ["", "sha256:", "../../etc/passwd", "sha256:" + "A" * 64])
def test_what_is_no_digest_is_a_bug(store: ArtifactStore, digest: str) -> None:
    with pytest.raises(ValueError, match="no digest"):
        store.read_bytes(digest)


@pytest.mark.case("ART-10", "ART-13")
@pytest.mark.parametrize("data", [b"weightz", b"weight", b"weights and more", b""])
def test_damaged_content_is_found_and_never_served(
    store: ArtifactStore, tmp_path: Path, data: bytes
) -> None:
    folder = store.put_folder(write(tmp_path / "source", {"a": b"first", "b": b"weights"}))
    file = Output(digest_bytes(b"weights"), 7)
    damage(store, file.digest, data)
    for output in (file, folder):
        assert code_of(lambda: store.verify(output)) == "artifact_corrupt"  # noqa: B023  called at once
        assert code_of(lambda: store.materialise(output, tmp_path / "x")) == "artifact_corrupt"  # noqa: B023
        assert not (tmp_path / "x").exists()
        assert store.is_present(output) == (len(data) == 7)
    assert code_of(lambda: store.read_bytes(file.digest)) == "artifact_corrupt"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "store") == ["source"]


class _Answering(LocalStore):
    """A store whose service answers with something of its own."""

    def __init__(self, root: Path, answer: Iterable[bytes]) -> None:
        super().__init__(root)
        self._answer = answer
        self.taken = 0

    def _pieces(self, digest: str) -> Iterator[bytes]:
        del digest
        for piece in self._answer:
            self.taken += 1
            yield piece


_PIECE = b"x" * (1 << 20)


@pytest.mark.case("ART-13")
@pytest.mark.parametrize(
    "answer",
    [
        repeat(_PIECE),
        [b"<html><title>503 Slow Down</title></html>"],
        [b"weig"],
        [b"weightz"],
        [b"weights", b"", b"s"],
        [],
    ],
    ids=["endless", "error page", "too few", "other", "too many", "none"],
)
def test_answer_that_is_not_the_object_is_told_while_it_streams(
    tmp_path: Path, answer: Iterable[bytes]
) -> None:
    store = _Answering(tmp_path / "store", answer)
    output = Output(digest_bytes(b"weights"), 7)
    assert code_of(lambda: store.verify(output)) == "artifact_corrupt"
    assert code_of(lambda: store.materialise(output, tmp_path / "x")) == "artifact_corrupt"
    assert store.taken <= 6, "nothing is taken beyond the size"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.case("ART-13")
def test_endless_listing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brewslm.artifacts.content._MAX_READ_BYTES", 3 << 20)
    store = _Answering(tmp_path / "store", repeat(_PIECE))
    assert code_of(lambda: store.listing(ABSENT)) == "artifact_corrupt"
    assert store.taken == 4


def test_damaged_listing_is_found(store: ArtifactStore, tmp_path: Path) -> None:
    folder = store.put_folder(write(tmp_path / "source", {"a": b"first"}))
    damage(store, folder.digest, b"{}")
    assert not store.is_present(folder)
    assert code_of(lambda: store.listing(folder.digest)) == "artifact_corrupt"
    assert code_of(lambda: store.verify(folder)) == "artifact_corrupt"


@pytest.mark.parametrize("is_set_aside", [True, False])
def test_putting_again_heals_a_damaged_object(
    store: ArtifactStore, tmp_path: Path, is_set_aside: bool
) -> None:
    (tmp_path / "file").write_bytes(b"first")
    outputs = [store.put_bytes(b"weights"), store.put_file(tmp_path / "file")]
    for output in outputs:
        damage(store, output.digest, b"x" * output.size_bytes)
        if is_set_aside:
            store.set_aside(output.digest)
            assert not store.is_present(output)
    assert [store.put_bytes(b"weights"), store.put_file(tmp_path / "file")] == outputs
    for output in outputs:
        store.verify(output)


def test_links_in_a_folder_are_refused(store: ArtifactStore, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    for number, target in enumerate([secret, tmp_path, tmp_path / "absent"]):
        folder = write(tmp_path / f"source-{number}", {"a": b"first"})
        (folder / "link").symlink_to(target)
        with pytest.raises(ValueError, match="link"):
            store.put_folder(folder)
    assert not store.is_present(Output(digest_bytes(b"secret"), 6))


def test_pipes_are_refused_without_waiting(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    os.mkfifo(tmp_path / "source" / "pipe")
    with pytest.raises(ValueError, match="pipe"):
        store.put_folder(tmp_path / "source")
    with pytest.raises(ValueError, match="pipe"):
        store.put_file(tmp_path / "source" / "pipe")


@pytest.mark.parametrize(
    "names",
    [["../x"], ["/etc/x"], ["a/../../x"], [".."], ["a//b"], ["./a"], [""], ["a\0b"], ["a", "a/b"]],
    ids=repr,
)
def test_listings_that_leave_their_folder_are_refused(
    store: ArtifactStore, tmp_path: Path, names: list[str]
) -> None:
    item = store.put_bytes(b"weights").to_json()
    listing = canonical_json(dict.fromkeys(names, item))
    output = Output(store.put_bytes(listing).digest, 7, is_folder=True)
    target = tmp_path / "deep" / "target"
    assert code_of(lambda: store.materialise(output, target)) == "artifact_corrupt"
    assert not store.is_present(output)
    assert not target.exists()
    assert not (tmp_path / "deep" / "x").exists()


@pytest.mark.parametrize(
    "document",
    [
        [],
        "text",
        {"a": None},
        {"a": {"digest": "sha256:short", "size_bytes": 1}},
        {"a": {"digest": ABSENT, "size_bytes": -1}},
        {"a": {"digest": ABSENT, "size_bytes": "1"}},
        {"a": {"digest": 7, "size_bytes": 1}},
        {"a": {"digest": ABSENT, "size_bytes": 1, "is_folder": True}},
    ],
    ids=repr,
)
def test_what_is_no_listing_is_refused(store: ArtifactStore, document: Any) -> None:
    output = store.put_bytes(canonical_json(document))
    assert code_of(lambda: store.listing(output.digest)) == "artifact_corrupt"


def test_nothing_is_laid_over_what_is_there(store: ArtifactStore, tmp_path: Path) -> None:
    folder = store.put_folder(write(tmp_path / "source", {"a": b"first"}))
    file = store.put_bytes(b"weights")
    write(tmp_path / "theirs", {"b": b"theirs"})
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    for output in (folder, file):
        for target in (tmp_path / "theirs", tmp_path / "theirs" / "b", tmp_path / "link"):
            with pytest.raises(FileExistsError):
                store.materialise(output, target)
    assert tree(tmp_path / "theirs") == {"b": b"theirs"}
    assert not (tmp_path / "absent").exists()


def produced(fingerprint: str = ABSENT, **changes: Any) -> Produced:
    record = Produced(
        fingerprint=fingerprint,
        kind="training_plan",
        facts={"version": 1, "rate": 0.0002},
        outputs={"lora_adapter": Output(ABSENT, 42, is_folder=True)},
        values={"loss": 1.5},
    )
    return replace(record, **changes)


def test_what_was_produced_is_remembered(store: ArtifactStore) -> None:
    other = "sha256:" + "0" * 64
    assert store.find_produced(ABSENT) is None
    assert store.all_produced("training_plan") == []
    store.record_produced(produced(values={}))
    store.record_produced(produced())
    store.record_produced(produced(other))
    store.record_produced(produced("sha256:" + "5" * 64, kind="dataset"))
    assert store.find_produced(ABSENT) == produced()
    assert store.all_produced("training_plan") == [produced(other), produced()]


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12)
PATHS = st.lists(NAMES.filter(lambda name: name not in (".", "..")), min_size=1, max_size=3).map(
    "/".join
)
FOLDERS = st.dictionaries(PATHS, st.binary(max_size=20), max_size=5).filter(
    lambda files: (
        not any(one != other and other.startswith(one + "/") for one in files for other in files)
    )
)


@settings(deadline=None, max_examples=15)
@given(FOLDERS, st.randoms(use_true_random=False), st.integers(0, 2**31))
def test_digest_ignores_order_and_times(files: dict[str, bytes], order: Any, mtime: int) -> None:
    shuffled = list(files.items())
    order.shuffle(shuffled)
    with tempfile.TemporaryDirectory() as name:
        first = write(Path(name) / "first", files)
        second = write(Path(name) / "second", dict(shuffled))
        first.mkdir(exist_ok=True)
        second.mkdir(exist_ok=True)
        for path in second.rglob("*"):
            os.utime(path, (mtime, mtime))
            path.chmod(0o700)
        store = MemoryArtifacts()
        output = store.put_folder(first)
        assert store.put_folder(second) == output
        assert tree(store.materialise(output, Path(name) / "copy")) == files


@settings(deadline=None, max_examples=25)
@given(FOLDERS, FOLDERS)
def test_different_folders_have_different_digests(
    one: dict[str, bytes], other: dict[str, bytes]
) -> None:
    store = MemoryArtifacts()
    with tempfile.TemporaryDirectory() as name:
        digests = []
        for index, files in enumerate((one, other)):
            (Path(name) / str(index)).mkdir()
            digests.append(store.put_folder(write(Path(name) / str(index), files)).digest)
    assert (digests[0] == digests[1]) == (one == other)
