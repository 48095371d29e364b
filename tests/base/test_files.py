"""Atomic writes and reading inside a project."""

import os
from pathlib import Path

import pytest

from brewslm.files import (
    PathError,
    StatProof,
    open_inside,
    read_inside,
    read_named,
    swap_folder,
    write_atomic,
)


def test_write_replaces_content_and_leaves_nothing_beside(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_atomic(target, b"old")
    write_atomic(target, b"new")
    assert target.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert target.stat().st_mode & 0o777 == 0o600


def test_write_replaces_a_link_and_spares_its_target(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"untouched")
    (tmp_path / "link").symlink_to(outside)
    write_atomic(tmp_path / "link", b"new")
    assert outside.read_bytes() == b"untouched"
    assert not (tmp_path / "link").is_symlink()


def test_folder_swap_keeps_only_the_new_folder(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "old").touch()
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "new").touch()
    swap_folder(tmp_path / "built", tmp_path / "target")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == [
        "target",
        "target/new",
    ]


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "~/x", "C:/x", "a\\b", "", "a\0b"]
)
def test_paths_that_leave_by_their_shape_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(PathError) as caught:
        open_inside(tmp_path, path)
    assert caught.value.code == "PATH_OUTSIDE_PROJECT"


@pytest.mark.parametrize("target", ["/etc/hostname", "../outside.txt", "loop"])
def test_links_that_leave_or_loop_are_refused(tmp_path: Path, target: str) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "outside.txt").write_text("secret")
    (project / "loop").symlink_to(target)
    with pytest.raises(PathError) as caught:
        open_inside(project, "loop")
    assert caught.value.code == "PATH_OUTSIDE_PROJECT"


def test_links_inside_are_followed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_bytes(b"rows")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "relative").symlink_to("../data/a")
    (tmp_path / "sub" / "absolute").symlink_to(tmp_path / "data" / "a")
    (tmp_path / "folder").symlink_to("data")
    for path in ("sub/relative", "sub/absolute", "folder/a", "./data//a"):
        assert read_inside(tmp_path, path, 100) == b"rows"


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder", "folder/"):
        with pytest.raises(PathError) as caught:
            open_inside(tmp_path, name)
        assert caught.value.code == "PATH_NOT_REGULAR_FILE"


def test_missing_and_too_large_files_have_their_codes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    with pytest.raises(PathError) as caught:
        read_inside(tmp_path, "b/c", 10)
    assert caught.value.code == "SOURCE_NOT_FOUND"
    with pytest.raises(PathError) as caught:
        read_inside(tmp_path, "a", 4)
    assert caught.value.code == "FILE_TOO_LARGE"


def test_stat_proves_nothing_for_a_file_that_was_just_written(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")
    result = path.stat()
    settled = StatProof.of(result, result.st_mtime_ns + 2_000_000_000)
    fresh = StatProof.of(result, result.st_mtime_ns + 1_999_999_999)
    assert settled.holds_for(result)
    assert not fresh.holds_for(result)
    path.write_bytes(b"22")
    assert not settled.holds_for(path.stat())


@pytest.mark.parametrize("is_relative", [True, False])
def test_links_may_lead_into_folders_that_are_allowed(tmp_path: Path, is_relative: bool) -> None:
    project, cache, other = (tmp_path / name for name in ("project", "cache", "other"))
    for folder in (project / "data", cache / "files" / "md5", other):
        folder.mkdir(parents=True)
    (cache / "files" / "md5" / "a").write_bytes(b"rows")
    (other / "b").write_bytes(b"secret")
    above = "../.." if is_relative else str(tmp_path)
    links = {
        "file": "cache/files/md5/a", "folder": "cache/files", "climbs": "cache/../other/b",
        "through": "cache/link", "other": "other/b", "back": "cache/back",
    }  # fmt: skip
    for name, target in links.items():
        (project / "data" / name).symlink_to(f"{above}/{target}")
    (cache / "link").symlink_to("../other/b")
    (project / "own").write_bytes(b"own")
    (cache / "back").symlink_to(project / "own")
    (tmp_path / "alias").symlink_to(cache)
    for root in (cache, tmp_path / "alias"):
        for path, content in (("file", b"rows"), ("folder/md5/a", b"rows"), ("back", b"own")):
            with open_inside(project, f"data/{path}", link_roots=(root,)) as stream:
                assert stream.read() == content
        for path in ("climbs", "through", "other"):
            with pytest.raises(PathError) as error:
                open_inside(project, f"data/{path}", link_roots=(root,))
            assert error.value.code == "PATH_OUTSIDE_PROJECT"
            assert "is a link" in error.value.message
    for path in ("file", "folder/md5/a", "back"):
        with pytest.raises(PathError) as error:
            open_inside(project, f"data/{path}")
        allowed = "../cache" if is_relative else str(cache)
        assert allowed in error.value.remedy
        with pytest.raises(PathError):
            open_inside(project, f"data/{path}", link_roots=(cache,), follows_links=False)


@pytest.mark.parametrize("path", ["link", "folder/rows", "folder/../rows"])
def test_no_link_is_followed_where_none_is_wanted(tmp_path: Path, path: str) -> None:
    (tmp_path / "rows").write_bytes(b"x")
    (tmp_path / "link").symlink_to("rows")
    (tmp_path / "folder").symlink_to(".")
    with pytest.raises(PathError) as error:
        open_inside(tmp_path, path, follows_links=False)
    assert error.value.code == "PATH_OUTSIDE_PROJECT"
    with open_inside(tmp_path, "rows", follows_links=False) as stream:
        assert stream.read() == b"x"


@pytest.mark.case("PLN-08")
def test_a_named_file_is_read_once_and_never_waited_for(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("rows")
    os.mkfifo(tmp_path / "pipe")
    assert read_named(tmp_path / "link", 5) == b"12345"
    for name, limit_bytes, code in (
        ("rows", 4, "FILE_TOO_LARGE"),
        ("pipe", 5, "PATH_NOT_REGULAR_FILE"),
        (".", 5, "PATH_NOT_REGULAR_FILE"),
        ("none", 5, "SOURCE_NOT_FOUND"),
    ):
        with pytest.raises(PathError) as error:
            read_named(tmp_path / name, limit_bytes)
        assert error.value.code == code
