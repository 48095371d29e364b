"""Which file system a folder lies on, as the system's table of mounts says.

Refused are those that several hosts write to: none of them sees the memory that a write-ahead log
is shared through. What one machine shares with its own guests and containers is left alone.
"""

import re
from pathlib import Path

from msgspec import Struct

_TABLE = Path("/proc/self/mountinfo")
_NETWORK = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "afs",
        "ceph",
        "lustre",
        "gpfs",
        "beegfs",
        "orangefs",
        "pvfs2",
        "ocfs2",
        "gfs2",
    }
)
_FUSE = frozenset(
    {
        "sshfs",
        "glusterfs",
        "ceph",
        "s3fs",
        "gcsfuse",
        "goofys",
        "mount-s3",
        "rclone",
        "juicefs",
        "davfs",
        "moosefs",
        "seaweedfs",
    }
)
"""Programs that mount a service or another host; the kind is `fuse.` and the name."""
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
        prefix, _, name = self.kind.rpartition(".")
        return name in _FUSE if prefix == "fuse" else self.kind in _NETWORK


def system_mounts() -> str:
    """Return the system's table of mounts, empty where it has none."""
    try:
        return _TABLE.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def find_mount(folder: Path, table: str) -> Mount | None:
    """Return what a folder lies on: the deepest mount above it, the latest of equals."""
    place = folder.resolve()
    found: Mount | None = None
    for mount in filter(None, map(_parsed, table.splitlines())):
        is_deeper = found is None or len(mount.point) >= len(found.point)
        if is_deeper and place.is_relative_to(mount.point):
            found = mount
    return found


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
