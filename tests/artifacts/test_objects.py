"""Artifacts in a bucket: answers that get lost, uploads that meet, and what is shown."""

import threading
import traceback
from pathlib import Path
from typing import Any

import pytest

from brewslm.artifacts.opening import open_shared_artifacts
from brewslm.artifacts.store import ArtifactStore, Produced
from brewslm.contracts import Output
from brewslm.errors import ArtifactError, BrewError, UnreachableError
from brewslm.fingerprint import digest_bytes
from tests.servers import ask

pytestmark = pytest.mark.slow

CANARY = "c4n4ry-s3cr3t"
WEIGHTS = Output(digest_bytes(b"weights"), 7)


@pytest.fixture
def store(bucket_url: str) -> ArtifactStore:
    return open_shared_artifacts(bucket_url)


@pytest.fixture
def objects(bucket_url: str) -> Any:
    """Return the folder of objects itself."""
    module: Any = pytest.importorskip("brewslm.objects")
    return module.ObjectFolder(bucket_url)


def test_second_store_of_the_same_url_finds_what_the_first_kept(
    store: ArtifactStore, bucket_url: str, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(b"weights")
    folder = store.put_folder(tmp_path / "in")
    produced = Produced(folder.digest, "training_plan", {}, {"lora_adapter": folder})
    store.record_produced(produced)
    other = open_shared_artifacts(bucket_url)
    assert other.find_produced(folder.digest) == produced
    assert (other.materialise(folder, tmp_path / "out") / "a").read_bytes() == b"weights"
    assert not open_shared_artifacts(bucket_url + "0").is_present(folder)


@pytest.mark.parametrize("trouble", ["lose", "fail"])
def test_upload_whose_answer_is_lost_is_kept_once(
    store: ArtifactStore, object_address: str, tmp_path: Path, trouble: str
) -> None:
    (tmp_path / "file").write_bytes(b"others")
    ask(f"{object_address}/-/{trouble}?count=1", "POST")
    store.verify(store.put_bytes(b"weights"))
    ask(f"{object_address}/-/{trouble}?count=1", "POST")
    store.verify(store.put_file(tmp_path / "file"))


def test_equal_uploads_that_meet_all_succeed(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"weights" * 10_000)
    kept: list[Output] = []
    threads = [
        threading.Thread(target=lambda: kept.append(store.put_file(tmp_path / "file")))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) == 6
    assert len(set(kept)) == 1
    store.verify(kept[0])


def test_large_file_goes_up_in_parts(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brewslm.objects._CONDITIONAL_BYTES", 1 << 20)
    (tmp_path / "file").write_bytes(bytes(range(256)) * (9 << 12))
    output = store.put_file(tmp_path / "file")
    assert output.size_bytes == 9 << 20
    store.verify(output)


def test_object_that_is_cut_off_is_made_whole(
    store: ArtifactStore, objects: Any, tmp_path: Path
) -> None:
    name = WEIGHTS.digest.removeprefix("sha256:")
    objects.put(f"objects/{name[:2]}/{name[2:]}", b"weig")
    (tmp_path / "file").write_bytes(b"weights")
    assert store.put_file(tmp_path / "file") == WEIGHTS
    store.verify(WEIGHTS)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff"])
def test_damaged_memory_of_what_was_produced_is_none(
    store: ArtifactStore, objects: Any, data: bytes
) -> None:
    objects.put(f"produced/{WEIGHTS.digest.removeprefix('sha256:')}.json", data)
    assert store.find_produced(WEIGHTS.digest) is None
    assert store.all_produced("training_plan") == []


def test_store_that_nobody_answers_for_is_not_an_empty_one(
    monkeypatch: pytest.MonkeyPatch, bucket_url: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("brewslm.objects._RETRIES", 0)
    store = open_shared_artifacts(bucket_url)
    for call in (
        lambda: store.is_present(WEIGHTS),
        lambda: store.find_produced(WEIGHTS.digest),
        lambda: store.put_bytes(b"weights"),
    ):
        with pytest.raises(UnreachableError) as caught:
            call()
        assert not isinstance(caught.value, ArtifactError)
        assert caught.value.code == "store_unreachable"
        assert bucket_url in caught.value.found
        text = "".join(traceback.format_exception(caught.value))
        assert CANARY not in text
        assert "127.0.0.1" not in text


def test_bucket_that_is_not_there_takes_nothing(bucket_url: str) -> None:
    store = open_shared_artifacts(bucket_url.replace("//brewslm/", "//no-such-bucket/"))
    with pytest.raises(UnreachableError, match="reached"):
        store.put_bytes(b"weights")


@pytest.mark.parametrize(
    "url",
    [
        f"s3://mira:{CANARY}@bucket/x",
        f"az://container/x?sig={CANARY}",
        f"ftp://{CANARY}",
        f"{CANARY}",
        "s3://",
        f"s3://bucket/x#{CANARY}",
    ],
)
def test_url_with_credentials_or_another_form_is_refused_unseen(url: str) -> None:
    pytest.importorskip("obstore")
    with pytest.raises(BrewError) as caught:
        open_shared_artifacts(url)
    assert caught.value.remedy
    text = "".join(traceback.format_exception(caught.value)) + caught.value.found
    assert CANARY not in text
