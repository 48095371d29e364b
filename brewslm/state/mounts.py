"""Which file system a folder lies on, as the system's table of mounts says.

Refused are those that are known to be written by several hosts: none of them sees the memory that a
write-ahead log is shared through. Systems that have no such table refuse nothing.
"""

import re
from pathlib import Path

from msgspec import Struct

_TABLE = Path("/proc/self/mountinfo")
_NETWORK = frozenset(
    {
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "gfs2",
        "gpfs",
        "lustre",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "panfs",
        "pvfs2",
        "smb2",
        "smb3",
        "smbfs",
        "wekafs",
        "fuse.blobfuse2",
        "fuse.ceph-fuse",
        "fuse.gcsfuse",
        "fuse.glusterfs",
        "fuse.juicefs",
        "fuse.mfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.seaweedfs",
        "fuse.sshfs",
    }
)
"""Kinds of file systems; after `fuse.` comes the program that mounts a service or another host."""
_REMOTE = re.compile(r"mountpoint-s3|[^/:]+:.*", re.DOTALL)
"""Sources of a mount whose kind is a bare `fuse`: a bucket, a URL, or a host and its folder."""
_TRANSPORTS = ("trans=tcp", "trans=rdma")
"""Options of a 9p mount that reaches another host; guests and subsystems have other ones."""
_ESCAPED = re.compile(r"\\([0-7]{3})")


class Mount(Struct, frozen=True):
    """One line of the table."""

    point: str
    kind: str
    source: str
    options: tuple[str, ...]

    @property
    def is_network(self) -> bool:
        """Whether other hosts may write to it too."""
        if self.kind == "9p":
            return any(option in _TRANSPORTS for option in self.options)
        if self.kind == "fuse":
            return _REMOTE.fullmatch(self.source) is not None
        return self.kind in _NETWORK


def system_mounts() -> str:
    """Return the system's table of mounts, empty where it has none."""
    try:
        return _TABLE.read_bytes().decode("utf-8", errors="surrogateescape")
    except OSError:
        return ""


def find_mount(folder: Path, table: str) -> Mount | None:
    """Return what a folder lies on: the latest mount above it, for what was mounted before is
    below that or hidden by it.
    """
    place = folder.resolve()
    mounts = reversed(table.split("\n"))
    above = (mount for mount in map(_parsed, mounts) if mount and place.is_relative_to(mount.point))
    return next(above, None)


def _parsed(line: str) -> Mount | None:
    """Return a line of the table, None for one of another form.

    Source: proc(5), /proc/pid/mountinfo.
    """
    before, sign, behind = line.partition(" - ")
    fields, rest = before.split(" "), behind.split(" ")
    if not sign or len(fields) < 6 or len(rest) < 3:
        return None
    point, kind, source = (_unescaped(text) for text in (fields[4], rest[0], rest[1]))
    return Mount(point, kind, source, tuple(re.split("[,;]", rest[2])))


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)
