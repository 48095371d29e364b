"""Whether the rows that decide are other ones than at another commit.

Rows are compared by the bytes of their sources: which of two files is the easier one, nobody can
tell from outside, so other gold rows count as weaker gates until somebody allows them.
"""

from collections.abc import Iterator, Mapping

from brewslm.address import Address
from brewslm.contracts import Spec
from brewslm.plan.action import GateChange
from brewslm.stages.data_source import DataSourceSpec, source_path
from brewslm.stages.eval_pack import EvalPackSpec

GOLD = ("gold_test", "gold_dev")
_EVAL_PACK = Address("eval_pack")
_SHOWN_DIGITS = 6


def eval_row_changes(
    before: Mapping[Address, Spec],
    digests_before: Mapping[str, str],
    after: Mapping[Address, Spec],
    digests_after: Mapping[str, str],
) -> Iterator[GateChange]:
    """Return how gold rows, and the sets that are evaluated, differ.

    digests_before, digests_after: of sources by path; a source without one is not compared, since
    that commit does not hold its bytes.
    """
    for kind in GOLD:
        old = _rows(kind, before, digests_before)
        new = _rows(kind, after, digests_after)
        if old is not None and new is not None and set(old) != set(new):
            yield _change(f"rows.{kind}", _told(old), _told(new), weakened=bool(old))
    old_sets, new_sets = _sets(before), _sets(after)
    if dropped := sorted(set(old_sets) - set(new_sets)):
        yield _change("datasets", ", ".join(dropped), ", ".join(new_sets), weakened=True)


def _rows(
    kind: str, specs: Mapping[Address, Spec], digests: Mapping[str, str]
) -> dict[tuple[str, int | None], str] | None:
    """Return the paths of sources by what their rows are, None where the bytes are not known."""
    found: dict[tuple[str, int | None], str] = {}
    for _, spec in sorted(specs.items()):
        if not isinstance(spec, DataSourceSpec) or spec.type != kind:
            continue
        path = source_path(spec)
        digest = digests.get(path)
        if digest is None:
            return None
        found[digest, spec.limit] = path
    return found


def _sets(specs: Mapping[Address, Spec]) -> tuple[str, ...]:
    spec = specs.get(_EVAL_PACK)
    return spec.datasets if isinstance(spec, EvalPackSpec) else ()


def _told(rows: Mapping[tuple[str, int | None], str]) -> str:
    items = sorted((path, digest, limit) for (digest, limit), path in rows.items())
    return ", ".join(
        f"{path} {digest[: len('sha256:') + _SHOWN_DIGITS]}" + (f" up to {limit}" if limit else "")
        for path, digest, limit in items
    )


def _change(path: str, before: str, after: str, *, weakened: bool) -> GateChange:
    return GateChange(
        kind="eval_rows_changed",
        address=str(_EVAL_PACK),
        path=path,
        before=before or None,
        after=after or None,
        weakened=weakened,
    )
