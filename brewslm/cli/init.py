"""`brewslm init`: a starter manifest, written once, and a state with a lineage of its own."""

import os
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import msgspec

from brewslm.artifacts.memory import MemoryArtifacts
from brewslm.cli.planning import write_output
from brewslm.cli.session import Session
from brewslm.diagnostics import Finding, FindingCode, Place, Severity, sorted_findings
from brewslm.errors import ManifestError, PlanError
from brewslm.files import is_file, is_folder, open_inside
from brewslm.manifest.carried_out import PROFILES
from brewslm.manifest.host import observe_host
from brewslm.manifest.load import FindingsError, load_manifest
from brewslm.manifest.starter import DEFAULT_LOCATOR, SHORT_TOKENS, starter_text
from brewslm.plan.build import PlanOptions, build_plan
from brewslm.plan.digest_cache import DigestCache
from brewslm.render import words
from brewslm.render.starting import Surveyed, render_start
from brewslm.rows.introspect import Proposal, read_feed
from brewslm.rows.mapper import DefaultOptions
from brewslm.rows.rejects import REMEDIES, RejectCode
from brewslm.rows.source import SOURCES, Feed, SourceError, open_source, parse_locator
from brewslm.state.empty import EmptyState

_MANIFEST_MODE = 0o644
_LENGTHS = (SHORT_TOKENS, 1024)
"""Values of max_seq_length, tried in turn where all rows are longer; the last is what the built-in
base takes.
"""
_MOST_GARBLED = 0.1
"""Share of rows in another encoding from which on the file is taken to be in one."""


@dataclass(frozen=True)
class _Start:
    """A manifest to write, and what its proposals were found in."""

    text: str
    locator: str
    surveyed: Surveyed | None = None


@click.command("init")
@click.option("--from-data", metavar="FILE", help="Write a manifest for the rows of this file.")
@click.option("--mapper", metavar="ID", help="Take this one of the proposed mappers.")
@click.option("--force", is_flag=True, help="Replace a manifest that is there.")
@click.pass_obj
def command(session: Session, from_data: str | None, mapper: str | None, force: bool) -> int:
    """Write a starter manifest and make the state; a manifest that is there stays as it is.

    A manifest for a file of rows is planned before it is written: one whose plan has errors is not.
    """
    _check_folder(session.root)
    target = session.root / session.manifest
    is_kept = os.path.lexists(target) and not force
    if is_kept and from_data is not None:
        raise _already_there(session.manifest)
    start = None if is_kept else _start(session, from_data, mapper)
    is_new, lineage = _made_state(session)
    if start is not None:
        write_output(target, start.text.encode(), _MANIFEST_MODE)
    session.put(
        render_start(
            manifest=session.manifest,
            locator=start.locator if start else None,
            surveyed=start.surveyed if start else None,
            lineage=lineage,
            is_new_state=is_new,
        )
    )
    return 0


def _check_folder(root: Path) -> None:
    if not is_folder(root):
        raise PlanError(
            f'there is no folder "{root}"',
            code="system_config_invalid",
            found="a file" if is_file(root) else "nothing",
            expected="a folder for the project",
            remedy=f"mkdir -p {root}",
        )


def _start(session: Session, from_data: str | None, mapper: str | None) -> _Start:
    root = session.root
    if from_data is None:
        if mapper is not None:
            raise click.UsageError("--mapper needs --from-data")
        return _Start(starter_text(name=root.name), DEFAULT_LOCATOR)
    path = _relative(root, from_data)
    open_inside(root, path).close()
    locator = str(parse_locator(f"file:{path}"))
    surveyed = _chosen(_survey(root, locator, mapper), from_data, mapper)
    for tokens in _LENGTHS:
        text = starter_text(
            name=root.name,
            proposal=surveyed.best,
            rows=surveyed.rows_read,
            locator=locator,
            max_seq_length=tokens,
        )
        found = _findings_of_plan(session, text)
        if not any(item.code == FindingCode.ROWS_TOO_LONG and _is_error(item) for item in found):
            break
    _check_plan(session, found, surveyed.rows_read)
    return _Start(text, locator, surveyed)


def _chosen(surveyed: Surveyed, from_data: str, mapper: str | None) -> Surveyed:
    """Return the survey with the proposal to write a manifest for at its head.

    Raises: PlanError where none is certain, or its task is not supported.
    """
    proposals = surveyed.proposals
    ranked = "; ".join(
        f"{item.mapper_id} for {item.target_task_profile} ({item.confidence:.2f})"
        for item in proposals
    )
    if mapper is not None:
        own = [item for item in proposals if item.mapper_id == mapper]
        if not own:
            raise PlanError(
                f'the mapper "{mapper}" is not among the proposals for "{surveyed.path}"',
                code="MAPPING_LOW_CONFIDENCE",
                found=ranked,
                expected="one of the proposed mappers",
                remedy=f"brewslm init --from-data {from_data} --mapper {proposals[0].mapper_id}",
            )
        rest = tuple(item for item in proposals if item is not own[0])
        proposals = (replace(own[0], needs_force=False), *rest)
    best = proposals[0]
    if best.target_task_profile not in PROFILES:
        raise PlanError(
            f'the rows of "{surveyed.path}" are for the task {best.target_task_profile}, which is'
            " not supported yet",
            code="VALUE_UNAVAILABLE",
            found=ranked,
            expected=f"rows for one of the tasks {', '.join(PROFILES)}",
            remedy=_other_mapper(proposals, from_data)
            or "reshape the rows, for example to the columns prompt and completion; nothing was"
            " written",
        )
    if best.needs_force and not best.has_split_labels:  # the plan says where those stand
        raise PlanError(
            f'which mapper the rows of "{surveyed.path}" need is not certain',
            code="MAPPING_LOW_CONFIDENCE",
            found="; ".join((ranked, *best.warnings)),
            expected="a proposal that is certain",
            remedy=f"brewslm init --from-data {from_data} --mapper {best.mapper_id}",
        )
    return replace(surveyed, proposals=proposals)


def _other_mapper(proposals: Sequence[Proposal], from_data: str) -> str:
    """Return the command that takes the first proposal whose task is supported, if any."""
    for item in proposals:
        if item.target_task_profile in PROFILES:
            return f"brewslm init --from-data {from_data} --mapper {item.mapper_id}"
    return ""


def _findings_of_plan(session: Session, text: str) -> tuple[Finding, ...]:
    """Return what the plan of a manifest that is not written yet finds, with the real rows."""
    with tempfile.TemporaryDirectory(prefix="brewslm-") as folder:
        host = observe_host()
        options = PlanOptions(
            scratch=Path(folder),
            digests=DigestCache(time.time_ns()),
            environment=session.environment,
            memory_bytes=host.memory_bytes,
        )
        manifest = load_manifest(session.root, session.manifest, host, text.encode())
        plan = build_plan(manifest, EmptyState(), MemoryArtifacts(), options)
    return tuple(Finding.from_json(item) for item in plan.findings)


def _check_plan(session: Session, found: Iterable[Finding], rows: int) -> None:
    """Refuse to write a manifest whose plan has errors.

    Raises: FindingsError with the errors, and with what is wrong with rejected rows.
    """
    found = tuple(found)
    if not any(map(_is_error, found)):
        return
    session.say(
        f"Nothing was written: the plan of a manifest for these {words.plural(rows, 'row')}"
        " has errors. Change the rows, or run brewslm init without --from-data and edit the"
        " manifest that it writes."
    )
    shown = [item for item in found if _is_error(item) or item.code in {*RejectCode}]
    raise FindingsError(
        sorted_findings(
            # a line of the manifest is of no use while there is no such file
            msgspec.structs.replace(item, place=Place())
            if item.place.file == session.manifest
            else item
            for item in shown
        )
    )


def _is_error(finding: Finding) -> bool:
    return finding.severity is Severity.ERROR


def _relative(root: Path, given: str) -> str:
    """Return a path as the manifest writes it: below the project folder, with /."""
    path = Path(given)
    inside = path.relative_to(root) if path.is_absolute() and path.is_relative_to(root) else path
    return inside.as_posix()


def _survey(root: Path, locator: str, mapper: str | None) -> Surveyed:
    """Return what the rows of a file look like.

    mapper: that was asked for by name, so that a doubtful header line is taken as it is.
    Raises: SourceError when the file cannot be read, holds no row, or fits no mapper.
    """
    defaults = DefaultOptions()
    feed = open_source(locator, root)
    reading = read_feed(feed, defaults.min_confidence)
    path, columns = feed.locator.path, tuple(feed.tally.columns)
    _check_readable(feed)
    is_delimited = SOURCES.load(feed.locator.scheme).read_delimited is not None
    if reading.headers_seen_as_values and is_delimited and not mapper:
        proposed = reading.proposals[0].mapper_id if reading.proposals else "ID"
        raise SourceError(
            f'"{path}" seems to begin with a row instead of column names',
            code=FindingCode.MAPPING_LOW_CONFIDENCE,
            found="first cells that are also values of their column: "
            + ", ".join(f'"{name}"' for name in reading.headers_seen_as_values),
            expected="a first line with the names of the columns, such as text,label",
            remedy="add a first line with column names; if it has them already: brewslm init"
            f" --from-data {path} --mapper {proposed}",
        )
    if reading.advice:
        raise SourceError(
            f'no mapper reads the rows of "{path}" yet',
            code="VALUE_UNAVAILABLE",
            found=reading.advice.partition(";")[0],
            expected='columns such as "text" and "label", "question" and "answer", or "messages"',
            remedy=reading.advice.partition("; ")[2] + ", then run brewslm init again",
        )
    if not reading.proposals:
        raise SourceError(
            f'no mapper fits the rows of "{path}"',
            code="MAPPING_LOW_CONFIDENCE",
            found="columns " + ", ".join(f'"{name}"' for name in columns),
            expected='columns such as "text" and "label", "question" and "answer", or "messages"',
            remedy="rename the columns, or run brewslm init without --from-data and write adapters",
        )
    return Surveyed(path, feed.rows_read, columns, reading.proposals)


def _check_readable(feed: Feed) -> None:
    """Refuse a file in which nothing, or much of it not, can be read. Raises: SourceError."""
    path, faults = feed.locator.path, Counter(feed.tally.faults)
    garbled = feed.tally.garbled_rows + faults[RejectCode.INVALID_UNICODE]
    if garbled > feed.rows_read * _MOST_GARBLED:
        raise SourceError(
            f'"{path}" is not UTF-8',
            code=FindingCode.ENCODING_UNSUPPORTED,
            found=f"{words.plural(garbled, 'row')} of {feed.rows_read} with bytes that are not",
            expected="UTF-8",
            remedy="save the file as UTF-8; from a spreadsheet choose CSV UTF-8. One encoding of"
            f" many: iconv -f WINDOWS-1252 -t UTF-8 {path} > new file",
        )
    if feed.tally.columns and feed.rows_read > faults.total():
        return
    counts = ", ".join(f"{code} {count}" for code, count in sorted(faults.items()))
    known = [REMEDIES[RejectCode(code)] for code, _ in faults.most_common(1)]
    raise SourceError(
        f'"{path}" holds no rows',
        code="SOURCE_EMPTY",
        found=f"{feed.size_bytes} bytes, no row that can be read" + (counts and f" ({counts})"),
        expected=f"rows as {feed.locator.scheme.upper()}",
        remedy=(known[0] if known else "put rows into the file") + ", then run brewslm init again",
    )


def _made_state(session: Session) -> tuple[bool, str]:
    """Return whether the state was made just now, and its lineage."""
    session.make_home()
    store = session.store()
    if store.exists():
        reader = store.read()
        try:
            return False, reader.meta().lineage
        finally:
            reader.close()
    return True, store.create(str(uuid.uuid4())).lineage


def _already_there(manifest: str) -> ManifestError:
    return ManifestError(
        f'there is a manifest "{manifest}" already',
        code="manifest_exists",
        found=manifest,
        expected="a folder without a manifest",
        remedy="brewslm init --from-data FILE --force replaces it; "
        "--manifest NAME.yaml writes another one",
    )
