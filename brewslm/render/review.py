"""What a plan says to reviewers: what the change does beside another commit, and what the policy
decides; titled lines that text and Markdown share.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from brewslm.plan.plan import Plan
from brewslm.render import words

_SHOWN_FIELDS = 5


class Block(Struct, frozen=True):
    """A title and its lines."""

    title: str
    lines: list[str]


def review_blocks(plan: Plan, quoted: Callable[[str], str]) -> Iterator[Block]:
    """Return the blocks that a plan has; quoted: how text from outside is written."""

    def outside(value: Any) -> str:
        return quoted(words.visible(words.number(value)))

    if plan.against is not None:
        ref, commit = plan.against["ref"], plan.against["commit"]
        name = f"{words.visible(str(ref)[:60])} ({commit[:6]})" if quoted is str else "the base"
        gates = [item for item in plan.against.get("gate_changes", ()) if item["weakened"]]
        if gates:
            lines = [
                f"{outside(item['path'])}: {outside(item['kind'])}, "
                f"{outside(item['before'])} -> {outside(item['after'])}"
                for item in gates
            ]
            yield Block(f"Gates weaker than at {name}", lines)
        yield Block(f"Changed against {name}", list(_changes(plan.against, outside)))
    if plan.policy is not None:
        decision = outside(plan.policy["decision"])
        lines = [f"{decision}, by the policy at {outside(plan.policy['ref'])}"]
        lines += [
            f"{outside(item['rule'])}: {outside(item['decision'])} ({outside(item['level'])})"
            for item in plan.policy.get("results", ())
        ]
        yield Block("Policy", lines)


def titled(block: Block) -> str:
    """Return a block as text."""
    return "\n".join([f"  {block.title}", *(f"    {line}" for line in block.lines)])


def _changes(against: Mapping[str, Any], outside: Callable[[Any], str]) -> Iterator[str]:
    if not against.get("has_manifest"):
        yield "there is no manifest without errors, so everything is new"
    elif not against.get("changes"):
        yield "nothing"
    for item in against.get("changes", ()):
        fields = [
            f"{outside(field['path'])} {outside(field['before'])} -> {outside(field['after'])}"
            for field in item["fields"][:_SHOWN_FIELDS]
        ]
        left = len(item["fields"]) - len(fields)
        fields += [f"and {left} more"] if left > 0 else []
        fields += [f"other bytes in {outside(item['content']['path'])}"] if item["content"] else []
        told = f": {', '.join(fields)}" if fields else ""
        yield f"{outside(item['operation'])} {outside(item['address'])}{told}"
