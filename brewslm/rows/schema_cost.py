"""How much work a JSON Schema can make of one value, before any value is checked.

References are followed as a validator follows them: those that apply to the same value add up, so
two references in each of forty definitions are 2^40 checks. A reference that leads back to itself
without a step into the value would never end.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urldefrag, urljoin

from brewslm.strict_json import MAX_DEPTH

MOST_CHECKS = 1_000_000
"""Checks of subschemas along one path into a value; about a tenth of a second."""
_LONGEST_CHAIN = 200
_SAME_LISTS = ("allOf", "anyOf", "oneOf")
_SAME = ("not", "if", "then", "else")
_INNER = (
    *("additionalProperties", "unevaluatedProperties", "propertyNames"),
    *("items", "contains", "unevaluatedItems"),
)
_MAPS = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
_METASCHEMAS = "https://json-schema.org/"


class _Level(NamedTuple):
    """What checking one value does: checks of the value itself, and of what is in it."""

    checks: int
    named: Mapping[str, Mapping[int, int]]
    """Property name to subschemas, each with how often it is applied."""
    others: Mapping[int, int]
    """Subschemas of any other inner value."""


def affordable_depth(schema: Any) -> int:
    """Return how deeply a value may be nested so that checking it stays affordable, 32 at most.

    Raises: ValueError for a schema that is not affordable for any value.
    """
    return _Costs(schema).depth()


class _Costs:
    def __init__(self, schema: Any) -> None:
        self._root = schema
        self._resources: dict[str, Any] = {"": schema}
        self._bases: dict[int, str] = {}
        self._dynamic: dict[str, list[Any]] = {}
        self._levels: dict[int, _Level] = {}
        self._schemas: dict[int, Any] = {}
        self._index(schema, "")

    def depth(self) -> int:
        self._level(self._root, ())
        pending = [self._root]
        while pending:  # all levels, and so all loops, are known afterwards
            level = self._level(pending.pop(), ())
            for inner in (level.others, *level.named.values()):
                pending += [self._schemas[key] for key in inner if key not in self._levels]
        costs = {key: level.checks for key, level in self._levels.items()}
        for depth in range(MAX_DEPTH):
            if costs[id(self._root)] > MOST_CHECKS:
                if not depth:
                    raise ValueError("references that multiply: over 1,000,000 checks of one value")
                return depth - 1
            costs = {
                key: level.checks + _inner_checks(level, costs)
                for key, level in self._levels.items()
            }
        return MAX_DEPTH

    def _index(self, schema: Any, base: str) -> None:
        """Note names and bases of a schema and of all schemas in it."""
        if not isinstance(schema, Mapping):
            return
        if isinstance(schema.get("$id"), str):
            base = urldefrag(_joined(base, schema["$id"])).url
            self._resources[base] = schema
        for key in ("$anchor", "$dynamicAnchor"):
            if isinstance(schema.get(key), str):
                self._resources[f"{base}#{schema[key]}"] = schema
        if isinstance(schema.get("$dynamicAnchor"), str):
            self._dynamic.setdefault(schema["$dynamicAnchor"], []).append(schema)
        self._bases[id(schema)] = base
        for inner in _subschemas(schema):
            self._index(inner, base)

    def _level(self, schema: Any, chain: tuple[int, ...]) -> _Level:
        """Raises: ValueError for a loop."""
        key = id(schema)
        if key in self._levels:
            return self._levels[key]
        if key in chain:
            raise ValueError("a reference that leads back to itself without a step into the value")
        if len(chain) > _LONGEST_CHAIN:
            raise ValueError(f"over {_LONGEST_CHAIN} references in a row")
        checks = 1
        named: dict[str, Counter[int]] = {}
        others: Counter[int] = Counter()
        if isinstance(schema, Mapping):
            for target in self._same(schema):
                level = self._level(target, (*chain, key))
                checks += level.checks
                others.update(level.others)
                for name, applied in level.named.items():
                    named.setdefault(name, Counter()).update(applied)
            for place, inner in self._inside(schema):
                self._schemas[id(inner)] = inner
                (others if place is None else named.setdefault(place, Counter()))[id(inner)] += 1
        self._schemas[key] = schema
        self._levels[key] = found = _Level(checks, named, others)
        return found

    def _same(self, schema: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the subschemas that are applied to the same value."""
        for key in _SAME_LISTS:
            yield from _items(schema.get(key))
        yield from (schema[key] for key in _SAME if key in schema)
        yield from _values(schema.get("dependentSchemas"))
        if isinstance(schema.get("$ref"), str):
            yield self._resolved(schema, schema["$ref"])
        if isinstance(dynamic := schema.get("$dynamicRef"), str):
            yield from self._dynamic.get(dynamic.partition("#")[2], ()) or (
                self._resolved(schema, dynamic),
            )

    def _inside(self, schema: Mapping[str, Any]) -> Iterator[tuple[str | None, Any]]:
        """Yield the subschemas of inner values, with a property's name where it has one."""
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            yield from properties.items()
        yield from ((None, inner) for inner in _values(schema.get("patternProperties")))
        yield from ((f"[{at}]", item) for at, item in enumerate(_items(schema.get("prefixItems"))))
        yield from ((None, schema[key]) for key in _INNER if key in schema)

    def _resolved(self, schema: Mapping[str, Any], reference: str) -> Any:
        base, fragment = urldefrag(_joined(self._bases.get(id(schema), ""), reference))
        if base.startswith(_METASCHEMAS):
            return True
        if fragment and not fragment.startswith("/"):
            return self._known(f"{base}#{fragment}", reference)
        found = self._known(base, reference)
        for step in fragment.split("/")[1:]:
            name = step.replace("%25", "%").replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                raise ValueError(f"{reference} leads nowhere")
        if id(found) not in self._bases:
            self._index(found, base)
        return found

    def _known(self, name: str, reference: str) -> Any:
        if name not in self._resources:
            raise ValueError(f"{reference} cannot be followed")
        return self._resources[name]


def _inner_checks(level: _Level, costs: Mapping[int, int]) -> int:
    """Return the checks of the inner value that makes most work."""

    def total(applied: Mapping[int, int]) -> int:
        return sum(times * min(costs[key], MOST_CHECKS + 1) for key, times in applied.items())

    return total(level.others) + max((total(inner) for inner in level.named.values()), default=0)


def _joined(base: str, reference: str) -> str:
    return f"{base}{reference}" if reference.startswith("#") else urljoin(base, reference)


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, Mapping) else []


def _subschemas(schema: Mapping[str, Any]) -> Iterator[Any]:
    for key in (*_SAME_LISTS, "prefixItems"):
        yield from _items(schema.get(key))
    for key in (*_SAME, *_INNER):
        yield schema.get(key)
    for key in _MAPS:
        yield from _values(schema.get(key))
