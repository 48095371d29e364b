"""Renamed sources and adapters: recognised by what they hold, and their records under new names.

A name is no part of what a source or an adapter yields, so nothing below a renamed one is done
again.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from brewslm.address import Address
from brewslm.contracts import Spec, counting_values
from brewslm.fingerprint import fingerprint
from brewslm.plan.diff import value_at
from brewslm.stages.eval_pack import EvalPackSpec
from brewslm.state.records import ResourceRecord

_NEUTRAL = {
    "data_source": frozenset({"adapter", "file_path", "locator"}),
    "adapter": frozenset({"source_ref"}),
}
"""Fields that name something else, or a place, and say nothing about what a resource holds."""
_REFERENCES = {
    "data_source": (("adapter", "source_ref"), ("dataset", "mix_back.source")),
    "adapter": (("data_source", "adapter"),),
}
"""Kind of what is renamed to the kinds and fields that hold its name."""


def find_moves(
    specs: Mapping[Address, Spec],
    records: Mapping[str, ResourceRecord],
    contents: Mapping[Address, str],
) -> dict[str, str]:
    """Return `{recorded address: wanted address}` of what was renamed and is otherwise the same.

    contents: digest of the bytes of every source. A source whose name an evaluation reads is never
    taken for renamed, since its rows carry the old name; neither is anything with two likely
    names.
    """
    moves: dict[str, str] = {}
    for kind, neutral in _NEUTRAL.items():
        gone: dict[str, list[str]] = {}
        come: dict[str, list[str]] = {}
        for address, record in records.items():
            if record.kind == kind and Address.parse(address) not in specs:
                held = _held(record.facts.get("spec", {}), record.facts.get("content"), neutral)
                gone.setdefault(held, []).append(address)
        if not gone:
            continue
        for wanted, spec in specs.items():
            if wanted.kind == kind and str(wanted) not in records:
                held = _held(counting_values(spec), contents.get(wanted), neutral)
                come.setdefault(held, []).append(str(wanted))
        moves |= {
            gone[held][0]: come[held][0]
            for held in gone.keys() & come.keys()
            if len(gone[held]) == len(come[held]) == 1
        }
    read = _names_read(specs)
    return {
        old: new
        for old, new in sorted(moves.items())
        if not {_name(old), _name(new)} & read or not old.startswith("data_source")
    }


def renamed(
    records: Mapping[str, ResourceRecord], moves: Mapping[str, str]
) -> dict[str, ResourceRecord]:
    """Return the records under their new addresses, with all that refers to them following.

    The name among the fields of a moved record stays the old one: it is the manifest's to change.
    """
    result = dict(records)
    for old, new in moves.items():
        result = {
            new if address == old else address: _following(record, old, new)
            for address, record in result.items()
        }
    return dict(sorted(result.items()))


def with_own_name(record: ResourceRecord) -> ResourceRecord:
    """Return a record whose field `name` is that of its address."""
    return replace(record, spec={**record.spec, "name": Address.parse(record.address).name})


def _held(spec: Mapping[str, Any], content: Any, neutral: Iterable[str]) -> str:
    kept = {name: value for name, value in spec.items() if name not in neutral}
    return fingerprint({"spec": kept, "content": content})


def _names_read(specs: Mapping[Address, Spec]) -> set[str]:
    """Return the names of sources that the evaluation picks rows by."""
    spec = specs.get(Address("eval_pack"))
    if not isinstance(spec, EvalPackSpec):
        return set()
    names = set(spec.datasets)
    for gate in spec.gates:
        field, _, value = (gate.slice or "").partition("=")
        names |= {value} if field == "source" else set()
        if gate.slice_name == "source":
            names |= {item.name for item in specs if item.kind == "data_source"}
    return names


def _following(record: ResourceRecord, old: str, new: str) -> ResourceRecord:
    """Return a record after a rename: its address, the names of its inputs, its references."""
    kind = Address.parse(old).kind
    spec, facts_spec = dict(record.spec), dict(record.facts.get("spec") or {})
    for holder, path in _REFERENCES.get(kind, ()):
        if record.kind == holder and _reads(spec, path) == _name(old):
            spec = _with_value(spec, path, _name(new))
            facts_spec = _with_value(facts_spec, path, _name(new))
    inputs = {
        _input(name, old, new): digest
        for name, digest in (record.facts.get("inputs") or {}).items()
    }
    is_moved = record.address == old
    if not is_moved and spec == record.spec and inputs == record.facts.get("inputs", {}):
        return record
    facts = {**record.facts, "spec": facts_spec, "inputs": inputs}
    return replace(
        record,
        address=new if is_moved else record.address,
        spec=spec,
        facts=facts,
        fingerprint=fingerprint(facts),
        former=(old, *record.former) if is_moved else record.former,
    )


def _input(name: str, old: str, new: str) -> str:
    address, _, output = name.rpartition(":")
    return f"{new}:{output}" if address == old else name


def _reads(values: Mapping[str, Any], path: str) -> Any:
    return value_at(values, path)


def _with_value(values: Mapping[str, Any], path: str, value: str) -> dict[str, Any]:
    first, _, rest = path.partition(".")
    inner = _with_value(values.get(first) or {}, rest, value) if rest else value
    return {**values, first: inner}


def _name(address: str) -> str:
    return Address.parse(address).name
