"""Whether the rows that decide are other ones than at another commit.

Rows are compared by their content, and by the bytes of their sources where they can't be read.
Which of two sets is the easier one can't be told without answers, so other gold rows count as
weaker gates until that is allowed.
"""

from collections.abc import Iterator, Mapping

from brewslm.address import Address
from brewslm.contracts import Spec
from brewslm.plan.action import GateChange
from brewslm.plan.gold_sources import GOLD, RowIds
from brewslm.stages.data_source import DataSourceSpec, source_path
from brewslm.stages.eval_pack import EvalPackSpec

_EVAL_PACK = Address("eval_pack")
_SHOWN_DIGITS = 6
_SHOWN_IDS, _ID_DIGITS = 5, 12


def eval_row_changes(
    before: Mapping[Address, Spec],
    digests_before: Mapping[str, str],
    after: Mapping[Address, Spec],
    digests_after: Mapping[str, str],
    ids_before: RowIds | None = None,
    ids_after: RowIds | None = None,
) -> Iterator[GateChange]:
    """Return how gold rows, and the sets that are evaluated, differ.

    digests_before, digests_after: of sources by path; a source without one is not compared, since
    that commit does not hold its bytes. ids_before, ids_after: of the rows, where both sides could
    be read.
    """
    for kind in GOLD:
        old = _rows(kind, before, digests_before)
        new = _rows(kind, after, digests_after)
        if old is None or new is None:
            continue
        was, will = _told(old), _told(new)
        if ids_before is not None and ids_after is not None:
            ids = ids_before.get(kind, frozenset()), ids_after.get(kind, frozenset())
            is_changed = ids[0] != ids[1]
            was, will = f"{was}, {len(ids[0])} rows", f"{will}, {_counted(*ids)}"
        else:
            is_changed = set(old) != set(new)
        if is_changed:
            yield _change(f"rows.{kind}", was, will, weakened=bool(old))
    new_sets = _sets(after)
    moved = [source for name in new_sets for source in _source(name, after, digests_after)]
    dropped = sorted(
        name
        for name in set(_sets(before)) - set(new_sets)
        if not any(source in moved for source in _source(name, before, digests_before))
    )
    if dropped:
        yield _change("datasets", ", ".join(dropped), ", ".join(new_sets), weakened=True)


def _counted(before: frozenset[str], after: frozenset[str]) -> str:
    """Return how many rows there are, and which came and went."""
    removed, added = sorted(before - after), sorted(after - before)
    told = [f"{len(ids)} {what}" for ids, what in ((removed, "removed"), (added, "added")) if ids]
    shown = ", ".join(map(_short, [*removed, *added][:_SHOWN_IDS]))
    return f"{len(after)} rows: {', '.join(told)} ({shown})"


def _short(row: str) -> str:
    """Return a row's id in few digits, with the slices behind it."""
    row_id, blank, slices = row.partition(" ")
    return row_id[:_ID_DIGITS] + blank + slices


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


def _source(
    name: str, specs: Mapping[Address, Spec], digests: Mapping[str, str]
) -> Iterator[tuple[Spec, str]]:
    """Yield the source of a name, apart from that name, and the digest of its bytes if known."""
    spec = specs.get(Address("data_source", name))
    if isinstance(spec, DataSourceSpec) and source_path(spec) in digests:
        yield spec.model_copy(update={"name": ""}), digests[source_path(spec)]


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
