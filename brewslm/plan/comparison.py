"""One resource as wanted beside the same as remembered: how they differ, why that makes work, and
how much.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from brewslm.address import Address
from brewslm.contracts import Category, Kind, Spec, categories_by_path, counting_values, spec_values
from brewslm.fingerprint import fingerprint
from brewslm.manifest.project import Wanted
from brewslm.plan.action import Cause
from brewslm.plan.diff import changed_paths, value_at
from brewslm.stages.data_source import DataSourceSpec, source_path
from brewslm.stages.kinds import KINDS
from brewslm.state.records import ResourceRecord

_OWN_REASONS = frozenset(
    {
        "replace_requested",
        "not_recorded",
        "content_changed",
        "artifact_missing",
        "artifact_corrupt",
        "version_raised",
    }
)
"""Reasons that lie in the resource itself, without any field of it having changed."""


@dataclass(frozen=True)
class Draft:
    """A resource as it is wanted, with its record: an action in the making."""

    address: Address
    kind: Kind
    spec: Spec
    wanted: Wanted
    record: ResourceRecord | None
    facts: dict[str, Any] | None
    """What identifies the result; None while an input is not known."""
    inputs: Mapping[str, str | None]
    """Digest of each input by its name; None while it is not known."""

    @cached_property
    def identity(self) -> str | None:
        """The fingerprint of the result, None while an input is not known."""
        return fingerprint(self.facts) if self.facts is not None else None

    @cached_property
    def fields_changed(self) -> list[str]:
        """Dotted paths of the spec's own fields that differ from the record."""
        return changed_paths(self.recorded_spec, spec_values(self.spec)) if self.record else []

    @cached_property
    def recorded_spec(self) -> dict[str, Any]:
        """The recorded spec; fields that did not exist when it was recorded have their defaults."""
        recorded = dict(self.record.spec) if self.record else {}
        if recorded == spec_values(self.spec):
            return recorded
        try:
            return spec_values(type(self.spec).model_validate(recorded, strict=False))
        except ValidationError:  # recorded with a field that is gone
            return recorded

    @cached_property
    def unknown(self) -> list[str]:
        """Names of the inputs that are not known yet."""
        return sorted(name for name, digest in self.inputs.items() if digest is None)

    @cached_property
    def inputs_changed(self) -> list[str]:
        """Names of the inputs that are known to differ from the record, came or went."""
        old = self.record.facts.get("inputs", {}) if self.record else {}
        known = (old.keys() | self.inputs.keys()) - set(self.unknown)
        return sorted(name for name in known if old.get(name) != self.inputs.get(name))

    @property
    def is_same(self) -> bool:
        """Whether the result that is wanted is the recorded one."""
        return self.record is not None and self.identity == self.record.fingerprint

    @property
    def is_content_changed(self) -> bool:
        """Whether the bytes that are read from outside differ from the recorded ones."""
        return self.record is not None and self.record.facts.get("content") != (
            self.facts or {}
        ).get("content")


def difference(draft: Draft) -> str:
    """Return the first reason that holds why the wanted result is not the recorded one."""
    record = draft.record
    if record is None:
        return "not_recorded"
    if changed_paths(record.facts.get("spec"), counting_values(draft.spec)):
        return "field_changed"
    if draft.is_content_changed:
        return "content_changed"
    if record.facts.get("version") != draft.kind.version:
        return "version_raised"
    is_pending = draft.unknown and not draft.inputs_changed
    return "input_pending" if is_pending else "input_changed"


def causes(draft: Draft, missing: Sequence[str]) -> tuple[Cause, ...]:
    """Return all that makes the action necessary; missing: outputs that are not there any more."""
    record = draft.record
    if record is None:
        return ()
    found = _field_causes(draft)
    found += [Cause(kind="artifact", path=name) for name in missing]
    if draft.facts and draft.is_content_changed:
        spec = draft.spec
        found.append(
            Cause(
                kind="content",
                path=source_path(spec) if isinstance(spec, DataSourceSpec) else str(draft.address),
                before=record.facts.get("content"),
                after=draft.facts.get("content"),
            )
        )
    if record.facts.get("version") != draft.kind.version:
        found.append(
            Cause(
                kind="version",
                path=draft.kind.name,
                before=record.facts.get("version"),
                after=draft.kind.version,
            )
        )
    return tuple(found + _input_causes(draft, record))


def _field_causes(draft: Draft) -> list[Cause]:
    after = spec_values(draft.spec)
    return [
        Cause(
            kind="field",
            path=path,
            before=value_at(draft.recorded_spec, path),
            after=value_at(after, path),
        )
        for path in draft.fields_changed
    ]


def _input_causes(draft: Draft, record: ResourceRecord) -> list[Cause]:
    old = record.facts.get("inputs", {})
    return [
        Cause(kind="input", path=name, before=old.get(name), after=draft.inputs.get(name))
        for name in [*draft.inputs_changed, *draft.unknown]
    ]


def heaviest_category(draft: Draft, reason: str, changes: Mapping[Address, Category]) -> Category:
    """Return how heavy a change is: by its own fields, else by those of what it consumes.

    changes: category of each resource before this one that has work.
    """
    own = _own_categories(draft)
    if reason in _OWN_REASONS:
        own.append(draft.kind.category)
    heaviest = _heaviest(own)
    if heaviest is not None and heaviest is not Category.METADATA:
        return heaviest
    consumed = [
        Address.parse(name.rpartition(":")[0]) for name in [*draft.inputs_changed, *draft.unknown]
    ]
    inherited = _heaviest(
        [changes.get(address, KINDS[address.kind].category) for address in consumed]
    )
    return inherited or heaviest or draft.kind.category


def _own_categories(draft: Draft) -> list[Category]:
    by_path = categories_by_path(draft.spec, draft.kind.category)
    own: list[Category] = []
    for path in draft.fields_changed:
        below = [
            category
            for name, category in by_path.items()
            if name == path or _is_below(name, path) or _is_below(path, name)
        ]
        own += below or [draft.kind.category]
    return own


def _is_below(path: str, section: str) -> bool:
    return path.startswith((f"{section}.", f"{section}["))


def _heaviest(categories: Sequence[Category]) -> Category | None:
    return max(categories, key=lambda item: item.weight, default=None)
