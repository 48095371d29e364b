"""A split of a dataset on the Hugging Face Hub, as `hf:ID:SPLIT:COMMIT`."""

from brewslm.diagnostics import FindingCode, Severity
from brewslm.rows.source import Remote, Source, Unpinned

_PARTS_BEFORE_COMMIT = 2


def _find_unpinned(rest: str, _sha256: str | None) -> Unpinned | None:
    if rest.count(":") >= _PARTS_BEFORE_COMMIT:
        return None
    return Unpinned(
        FindingCode.HF_SOURCE_UNPINNED,
        "a Hub data set without a commit",
        "write hf:ID:SPLIT:COMMIT",
        Severity.WARNING,
    )


SOURCE = Source("hf", remote=Remote("https://huggingface.co", _find_unpinned))
