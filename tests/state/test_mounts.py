"""Whether a state would lie where several hosts write."""

from pathlib import Path

import pytest

from brewslm.errors import StateError
from brewslm.state.mounts import find_mount, system_mounts
from brewslm.state.stores.sqlite import SqliteStore
from tests.state.states import LINEAGE, NOW, lease

ROOT = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n"


def line(point: Path | str, kind: str, source: str = "server:/export", options: str = "rw") -> str:
    return f"40 22 0:40 / {point} rw,relatime shared:2 master:1 - {kind} {source} {options}\n"


@pytest.mark.parametrize(
    ("kind", "options", "is_network"),
    [
        ("nfs4", "rw,vers=4.2", True),
        ("cifs", "rw,vers=3.1.1", True),
        ("fuse.sshfs", "rw,user_id=0", True),
        ("fuse.ceph-fuse", "rw", True),
        ("fuse.mfs", "rw", True),
        ("fuse.blobfuse2", "rw", True),
        ("smb2", "rw", True),
        ("wekafs", "rw", True),
        ("panfs", "rw", True),
        ("lustre", "rw", True),
        ("9p", "rw,trans=tcp,port=564", True),
        ("9p", "rw,aname=drvfs;path=C:\\134;uid=0,trans=fd,rfd=3", False),
        ("9p", "rw,access=client,trans=virtio", False),
        ("virtiofs", "rw", False),
        ("fuse.grpcfuse", "rw", False),
        ("overlay", "rw,lowerdir=/l,upperdir=/u", False),
        ("tmpfs", "rw", False),
        ("ext4", "rw", False),
    ],
)
def test_file_systems_of_several_hosts_are_told_from_those_of_one(
    kind: str, options: str, is_network: bool
) -> None:
    table = ROOT + line("/srv/team", kind, options=options)
    mount = find_mount(Path("/srv/team/project"), table)
    assert mount is not None
    assert (mount.kind, mount.is_network) == (kind, is_network)


@pytest.mark.parametrize(
    ("source", "is_network"),
    [
        ("mountpoint-s3", True),
        ("https://dav.example.org/team", True),
        ("server:bucket", True),
        ("bucket:folder", True),
        ("/dev/fuse", False),
        ("/home/ana/.encrypted:1", False),
        ("lxcfs", False),
        ("portal", False),
    ],
)
def test_mounts_of_a_bare_fuse_are_told_by_their_source(source: str, is_network: bool) -> None:
    mount = find_mount(Path("/srv/team"), ROOT + line("/srv/team", "fuse", source))
    assert mount is not None
    assert mount.is_network is is_network


def test_mount_that_hides_a_deeper_one_decides() -> None:
    table = ROOT + line("/srv/fast", "xfs", "/dev/vdb") + line("/srv", "nfs4")
    mount = find_mount(Path("/srv/fast/x"), table)
    assert mount is not None
    assert mount.kind == "nfs4"


@pytest.mark.parametrize("sign", ["\r", "\x0b", "\x85", "\u2028"])
def test_sign_in_a_mount_point_ends_no_line(sign: str) -> None:
    mount = find_mount(Path(f"/srv/a{sign}b/x"), ROOT + line(f"/srv/a{sign}b", "nfs4"))
    assert mount is not None
    assert mount.kind == "nfs4"


def test_latest_mount_above_a_folder_decides() -> None:
    table = (
        ROOT
        + line("/srv", "nfs4")
        + line("/srv/fast", "xfs", "/dev/vdb")
        + line("/home", "autofs")
        + line("/home", "nfs")
        + line("/srv/my\\040share", "cifs")
    )
    found = {
        path: mount.kind
        for path in ("/srv/x", "/srv/fast/x", "/srv/faster", "/home/x", "/srv/my share/x", "/opt")
        if (mount := find_mount(Path(path), table))
    }
    assert list(found.values()) == ["nfs4", "xfs", "nfs4", "nfs", "cifs", "ext4"]


@pytest.mark.parametrize("table", ["", "\n", "no table at all\n", "1 2 3 - \n", " - nfs x y\n"])
def test_table_that_says_nothing_refuses_nothing(table: str) -> None:
    assert find_mount(Path("/srv"), table) is None


def test_table_of_this_system_has_the_mount_of_every_folder(tmp_path: Path) -> None:
    assert find_mount(tmp_path, system_mounts()) is not None


@pytest.mark.case("CON-12")
def test_state_on_a_network_file_system_is_read_and_not_written(tmp_path: Path) -> None:
    home = tmp_path / ".brewslm"
    SqliteStore(home / "state.db").create(LINEAGE)
    before = (home / "state.db").read_bytes()
    looks: list[int] = []

    def table() -> str:
        looks.append(1)
        return ROOT + line(tmp_path, "nfs4")

    store = SqliteStore(home / "state.db", mounts=table)
    with_reader = store.read()
    assert with_reader.meta().lineage == LINEAGE
    with_reader.close()
    assert looks == [], "a reader looked where the state lies"
    for write in (lambda: store.acquire(lease(), NOW), lambda: store.force_unlock("x")):
        with pytest.raises(StateError) as caught:
            write()
        assert (caught.value.code, caught.value.exit_code) == ("system_config_invalid", 1)
        assert f".brewslm on nfs4, server:/export at {tmp_path}" in caught.value.found
        assert "PostgreSQL or an object store" in caught.value.remedy
    assert (home / "state.db").read_bytes() == before
    with pytest.raises(StateError):
        SqliteStore(tmp_path / "new" / "state.db", mounts=table).create(LINEAGE)
    assert not (tmp_path / "new").exists()
