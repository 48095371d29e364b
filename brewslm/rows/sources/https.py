"""A file behind a URL, pinned by the digest of its bytes."""

from brewslm.diagnostics import FindingCode, Severity
from brewslm.rows.source import Remote, Source, Unpinned


def _find_unpinned(_rest: str, sha256: str | None) -> Unpinned | None:
    if sha256:
        return None
    return Unpinned(
        FindingCode.HTTPS_SOURCE_UNPINNED,
        "a source over https needs the digest of its bytes",
        "add sha256: DIGEST",
        Severity.ERROR,
    )


SOURCE = Source("https", remote=Remote("", _find_unpinned))
