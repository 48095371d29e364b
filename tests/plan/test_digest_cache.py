"""A file is digested through the descriptor by which it was checked."""

from pathlib import Path

from brewslm.files import open_inside
from brewslm.fingerprint import digest_bytes
from brewslm.plan.digest_cache import DigestCache


def test_a_file_that_takes_the_name_meanwhile_is_not_read(tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    rows.write_bytes(b"own rows")
    (tmp_path / "secret").write_bytes(b"a file of somebody else")
    cache = DigestCache(now_ns=0)
    with open_inside(tmp_path, "rows") as stream:
        rows.unlink()
        rows.symlink_to(tmp_path / "secret")
        assert cache.digest_stream("rows", stream) == (digest_bytes(b"own rows"), 8)
    assert cache.entries["rows"][1] == digest_bytes(b"own rows")
