"""What `brewslm init` found in a file, what it wrote, and what to do next."""

from collections.abc import Iterator
from dataclasses import dataclass

from brewslm.render import words
from brewslm.rows.introspect import Proposal

_SHOWN_COLUMNS = 8
_SHOWN_OTHERS = 2


@dataclass(frozen=True)
class Surveyed:
    """A file of rows and the mappers that fit it, best first; there is at least one."""

    path: str
    rows_read: int
    columns: tuple[str, ...]
    proposals: tuple[Proposal, ...]

    @property
    def best(self) -> Proposal:
        """The proposal that the manifest is written for."""
        return self.proposals[0]


def render_start(
    *,
    manifest: str,
    locator: str | None,
    surveyed: Surveyed | None,
    lineage: str,
    is_new_state: bool,
) -> str:
    """Return what init did.

    locator: of the rows that the written manifest asks for, None when a manifest was there and
    stays.
    """
    lines = [*_survey_lines(surveyed), ""] if surveyed is not None else []
    lines.append(
        f"{words.visible(manifest)} is there already and stays as it is."
        if locator is None
        else f"Wrote {words.visible(manifest)}; its base model builtin:nano needs no download."
    )
    made = "Made" if is_new_state else "Kept"
    lines.append(f"{made} the state in .brewslm, lineage {lineage[:6]}; git ignores that folder.")
    lines += ["", *_next_lines(locator, surveyed)]
    return "\n".join(lines) + "\n"


def _survey_lines(surveyed: Surveyed) -> Iterator[str]:
    shown = ", ".join(words.visible(name) for name in surveyed.columns[:_SHOWN_COLUMNS])
    left = len(surveyed.columns) - _SHOWN_COLUMNS
    more = f" and {left} more" if left > 0 else ""
    path = words.visible(surveyed.path)
    yield f"Read {path}: {words.plural(surveyed.rows_read, 'row')}, columns {shown}{more}."
    yield _proposal_line("proposes", surveyed.best)
    width = max(map(len, surveyed.best.field_map))
    for name, column in sorted(surveyed.best.field_map.items()):
        yield f'              {name:<{width}}  from column "{words.visible(column)}"'
    for warning in surveyed.best.warnings:
        yield f"  note        {words.visible(warning)}"
    for other in surveyed.proposals[1 : 1 + _SHOWN_OTHERS]:
        yield _proposal_line("or", other)


def _proposal_line(label: str, proposal: Proposal) -> str:
    reason = words.visible(proposal.rationale)
    return (
        f"  {label:<10}  {proposal.mapper_id} for {proposal.target_task_profile}, "
        f"confidence {proposal.confidence:.2f}: {reason}"
    )


def _next_lines(locator: str | None, surveyed: Surveyed | None) -> Iterator[str]:
    if locator is not None and surveyed is None:
        yield f"Next: put rows into {locator.partition(':')[2]}, one JSON object a line, such as"
        yield '        {"text": "The parcel is late", "label": "delivery"}'
        yield "      then brewslm plan"
        return
    yield "Next: brewslm plan"
