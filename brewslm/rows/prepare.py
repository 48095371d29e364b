"""All sources of a dataset into one prepared folder, with findings instead of guesses."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from brewslm.address import Address
from brewslm.contracts import Compose, Output, RowProgress, TokenCounter, untold
from brewslm.diagnostics import Finding, sorted_findings
from brewslm.errors import BrewError
from brewslm.files import make_private_folder
from brewslm.rows import findings as say
from brewslm.rows.accounting import account, check_files, check_homes, split_counts
from brewslm.rows.binding import Binding, Grouping
from brewslm.rows.composing import Composing
from brewslm.rows.contract import Contract
from brewslm.rows.description import describe_rows, describe_settings
from brewslm.rows.duplicates import drop_duplicates
from brewslm.rows.introspect import Proposal, propose_feed
from brewslm.rows.leaks import LeakReport
from brewslm.rows.mapper import (
    DEFAULT_MAPPER_ID,
    MAPPERS,
    DefaultOptions,
    check_profile,
    load_defaults,
)
from brewslm.rows.mapping import MappedChunk, RowMapping, absorb, map_records
from brewslm.rows.mix import Mix, apply_weights, cap, mix_of, put_back
from brewslm.rows.near import hold_near_duplicates
from brewslm.rows.placing import place_rows
from brewslm.rows.pool import WorkerLostError, each, worker_count
from brewslm.rows.prepared import (
    ExampleLines,
    Writer,
    file_name,
    index_lines,
    rejected_lines,
    row_sources,
)
from brewslm.rows.record import Reject, Split
from brewslm.rows.request import Request, SourceRequest
from brewslm.rows.schema import SchemaError
from brewslm.rows.source import (
    SOURCES,
    Feed,
    NotByChunksError,
    finding_of,
    open_chunks,
    open_source,
    size_of,
)
from brewslm.rows.stored import ContentStore, StoredExample, batches
from brewslm.rows.work import BindingStats, SourceStats, Work

_POOL_BYTES = 16 << 20
_POOL_ROWS = 20_000
_BATCH_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Preparation:
    """What came of a request: stats, findings, and the files of the prepared folder."""

    sources: dict[str, SourceStats]
    bindings: dict[str, BindingStats]
    """By source name."""
    proposals: dict[str, tuple[Proposal, ...]]
    """Ranked, for sources whose mapper was found by introspection."""
    findings: tuple[Finding, ...]
    manifest: dict[str, Any]
    files: dict[str, Output]
    """File name to digest and size, the manifest included."""


def prepare(
    request: Request,
    root: Path,
    out: Path,
    compose: Compose,
    count_tokens: TokenCounter | None = None,
    workers: int | None = None,
    tell: RowProgress = untold,
) -> Preparation:
    """Read all sources once, write the prepared folder to `out`, and tell everything found.

    A source whose mapper is found by introspection is read twice. Trouble with rows, files and
    settings becomes findings; the folder then holds what the readable sources gave.

    workers: processes that share the work, which changes no byte of the result; None takes one for
    each core where there is enough to do. `compose` and `count_tokens` travel to them.
    tell: hears how far reading and comparing are.

    Raises: WorkerLostError when one of them ended before its work.
    """
    with ContentStore(make_private_folder(out)) as contents:
        return _prepare(Work(request, contents, tell), root, out, compose, count_tokens, workers)


def _prepare(
    work: Work,
    root: Path,
    out: Path,
    compose: Compose,
    count_tokens: TokenCounter | None,
    workers: int | None,
) -> Preparation:
    request = work.request
    try:
        Contract.of(request.dataset.contract)
    except SchemaError as error:
        work.findings.append(say.schema_finding(error))
        contract = request.dataset.contract.model_copy(update={"json_schema": None})
        dataset = request.dataset.model_copy(update={"contract": contract})
        work.request = request = replace(request, dataset=dataset)
    for source in sorted(request.sources, key=lambda item: item.name):
        try:
            _read_source(work, source, root, workers)
        except WorkerLostError:
            raise
        except BrewError as error:
            work.feeds.pop(source.name, None)
            work.findings.append(
                finding_of(error, source.locator, str(Address("data_source", source.name)))
            )
    _deduplicate(work)
    pool = _pool_size(work, workers)
    placement, leaks = place_rows(work, pool)
    mix = _mix(work)
    labels = _labels(work)
    writer, manifest = _write(work, out, compose, count_tokens, labels, leaks, mix, pool)
    found = say.dataset_findings(
        request,
        list(work.bindings.values()),
        work.examples,
        work.contents,
        work.rejects,
        placement,
        labels,
        sum(feed.rows_read for feed in work.feeds.values()),
    )
    is_whole = len(work.feeds) == len(request.sources)
    found += say.mix_findings(request, mix)
    work.findings += [item for item in found if is_whole or item.code not in say.NEED_ALL_ROWS]
    return Preparation(
        sources={name: _source_stats(feed) for name, feed in work.feeds.items()},
        bindings=work.stats,
        proposals=work.proposals,
        findings=sorted_findings(work.findings),
        manifest=manifest,
        files=writer.files,
    )


def _pool_size(work: Work, workers: int | None) -> int:
    """Return how many processes compare and compose the rows."""
    if workers is None:
        return worker_count() if len(work.examples) >= _POOL_ROWS else 1
    return workers


def _read_source(work: Work, source: SourceRequest, root: Path, workers: int | None) -> None:
    """Read, map, clean and check one source.

    Raises: BrewError where the source as a whole cannot be used.
    """
    request = work.request
    source, confidence = _with_mapper(work, source, root)
    mapper = MAPPERS.load(source.mapper_id or "")
    profile = source.task_profile
    if profile is None and request.dataset.task_profile in mapper.profiles:
        profile = request.dataset.task_profile
    check_profile(mapper, profile)
    feed = _opened(work, source, root)
    mapping = RowMapping(
        replace(source, task_profile=profile),
        feed.locator.scheme,
        feed.locator.path,
        mapper.id,
        request.dataset.contract,
        request.dataset.cleaning,
        _grouping(request),
        confidence,
    )
    try:
        binding, examples, rejects = _mapped(
            work, mapping, feed, _chunks(mapping, feed, root, workers)
        )
    except NotByChunksError:
        feed = _opened(work, source, root)
        records = map_records(mapping, feed.records)
        binding, examples, rejects = _mapped(work, mapping, feed, records)
    profiles = {example.task_profile: example.position for example in reversed(examples)}
    for found, position in profiles.items():
        if unsupported := say.unsupported_task(source, found, request, position):
            work.findings.append(unsupported)
            work.rejects += rejects
            return
    work.feeds[source.name] = feed
    work.bindings[source.name] = binding
    work.examples += examples
    work.rejects += rejects
    work.stats[source.name] = _binding_stats(binding, examples, work.contents)
    work.findings += say.source_findings(source, feed, binding)


def _opened(work: Work, source: SourceRequest, root: Path) -> Feed:
    roots = tuple(map(Path, work.request.link_roots))
    return open_source(source.locator, root, source.limit, source.delimiter, roots)


def _mapped(
    work: Work, mapping: RowMapping, feed: Feed, chunks: Iterable[MappedChunk]
) -> tuple[Binding, list[StoredExample], list[Reject]]:
    """Store what became of a source's rows; return its binding with everything counted."""
    binding = mapping.bind()
    examples: list[StoredExample] = []
    rejects: list[Reject] = []
    for chunk in chunks:
        absorb(binding, feed, chunk)
        work.contents.take(chunk.examples, chunk.contents)
        examples += chunk.examples
        rejects += chunk.rejects
        work.tell(f"reading {mapping.source.name}", len(examples) + len(rejects), None)
    binding.bind_extras(feed.tally.columns)
    return binding, examples, rejects


def _chunks(
    mapping: RowMapping, feed: Feed, root: Path, workers: int | None
) -> Iterator[MappedChunk]:
    """Yield what becomes of a source's rows, by several processes where that pays."""
    if workers is None:
        workers = worker_count() if size_of(feed, root) >= _POOL_BYTES else 1
    has_chunks = SOURCES.load(feed.locator.scheme).read_chunk is not None
    if workers > 1 and has_chunks and mapping.source.limit is None:
        return each(mapping, open_chunks(feed, root), workers)
    return map_records(mapping, feed.records)


def _with_mapper(
    work: Work, source: SourceRequest, root: Path
) -> tuple[SourceRequest, float | None]:
    """Return the source with its mapper; one that names none gets the best proposal."""
    if source.mapper_id not in (None, DEFAULT_MAPPER_ID):
        return source, None
    options: DefaultOptions = load_defaults(source.options)
    feed = _opened(work, source, root)
    proposals = propose_feed(feed, options.min_confidence)
    work.proposals[source.name] = proposals
    best = proposals[0] if proposals else None
    faults = Counter(feed.tally.faults) + Counter(invalid_unicode=feed.tally.garbled_rows)
    if faults.total() == feed.rows_read:
        raise say.no_row_readable(source, faults)
    if best is None or best.needs_force:
        raise say.low_confidence(source, proposals, feed.tally.unreadable)
    found = replace(
        source,
        mapper_id=best.mapper_id,
        options={},
        field_mapping={**best.field_map, **source.field_mapping},
        task_profile=source.task_profile or best.target_task_profile,
    )
    return found, best.confidence


def _grouping(request: Request) -> Grouping:
    split = request.dataset.split
    stratum = () if split.stratify_by is None else (split.stratify_by,)
    tags = dict.fromkeys((*split.group_columns, *stratum, *request.tag_columns))
    return Grouping(split.group_columns, split.stratify_by, tuple(tags))


def _binding_stats(
    binding: Binding, examples: list[StoredExample], contents: ContentStore
) -> BindingStats:
    return BindingStats(
        adapter=binding.source.adapter,
        mapper_id=binding.mapper.id,
        task_profile=binding.target.task_profile,
        field_map=binding.field_map,
        confidence=binding.confidence,
        mapped=len(examples),
        rejected={str(code): count for code, count in sorted(binding.rejected.items())},
        examples_digest=_identities_digest(
            examples, contents, has_tags=bool(binding.grouping.tags)
        ),
    )


def _identities_digest(
    examples: list[StoredExample], contents: ContentStore, *, has_tags: bool
) -> str:
    """Return the digest of the sorted identities of examples."""
    sha256 = hashlib.sha256()
    separator = ""
    for batch in batches(sorted(examples, key=attrgetter("row_digest")), _BATCH_ROWS):
        identities = []
        for example in batch:
            tags = sorted(contents.content(example).tags.items()) if has_tags else []
            identities.append(f"{example.row_id} {example.group_key} {example.stratum} {tags}")
        sha256.update((separator + "\n".join(sorted(identities))).encode())
        separator = "\n"
    return f"sha256:{sha256.hexdigest()}"


def _source_stats(feed: Feed) -> SourceStats:
    return SourceStats(
        locator=str(feed.locator),
        digest=feed.digest,
        size_bytes=feed.size_bytes,
        rows_read=feed.rows_read,
        blank_lines=feed.tally.blank_lines,
        columns=tuple(feed.tally.columns),
    )


def _deduplicate(work: Work) -> None:
    cleaning = work.request.dataset.cleaning
    if cleaning.dedupe == "off":
        return
    gold = [example for example in work.examples if example.is_gold]
    pool = [example for example in work.examples if not example.is_gold]
    evaluated = frozenset(
        name for name, binding in work.bindings.items() if binding.source.role == "test"
    )
    pool, pool_duplicates = drop_duplicates(pool, work.contents, evaluated)
    gold, gold_duplicates = drop_duplicates(gold, work.contents)
    if cleaning.dedupe == "near":
        hold_near_duplicates(
            [example for example in pool if example.source not in evaluated],
            work.contents,
            cleaning.near_threshold,
        )
    work.examples = pool + gold
    work.rejects += pool_duplicates + gold_duplicates


def _mix(work: Work) -> Mix:
    """Cap, weight and mix back the train rows."""
    dataset = work.request.dataset
    seed, mix_back = dataset.split.seed, dataset.mix_back
    train = [example for example in work.examples if example.split is Split.TRAIN]
    general = [item for item in train if item.source == mix_back.source]
    own = [item for item in train if item.source != mix_back.source]
    for example in work.examples:
        if example.split is not Split.TRAIN or example.source == mix_back.source:
            example.weight = 1
    below = cap(own, dataset.max_examples, seed)
    own = [example for example in own if example.hold is None]
    apply_weights(own, seed, below)
    own = [example for example in own if example.hold is None]
    effective = sum(example.weight for example in own)
    kept = put_back(general, effective, mix_back.fraction, seed)
    for example in work.examples:
        if example.hold is not None:
            example.split = Split.HELD
            example.weight = 1
    weights = {name: binding.source.weight for name, binding in work.bindings.items()}
    return mix_of(own + kept, weights, mix_back.source, mix_back.fraction)


def _labels(work: Work) -> tuple[str, ...]:
    """Return allowed labels in contract order, else every label of the dataset, sorted."""
    allowed = work.request.dataset.contract.allowed_labels
    if allowed is not None:
        return allowed
    return tuple(sorted({example.label for example in work.examples if example.label is not None}))


def _write(
    work: Work,
    out: Path,
    compose: Compose,
    count_tokens: TokenCounter | None,
    labels: tuple[str, ...],
    leaks: LeakReport,
    mix: Mix,
    workers: int,
) -> tuple[Writer, dict[str, Any]]:
    request = work.request
    writer = Writer(out)
    contracts = {
        name: binding.contract.document(labels, binding.scoring_mode)
        for name, binding in work.bindings.items()
    }
    splits = {
        split: [example for example in work.examples if example.split is split] for split in Split
    }
    composing = Composing(compose, contracts, request.dataset.system_prompt, count_tokens)
    lines = ExampleLines(splits, work.contents, composing, request.dataset.split.seed, workers)
    written = {file_name(split): writer.write(file_name(split), lines.of(split)) for split in Split}
    duplicates = [reject for reject in work.rejects if reject.of_row_id is not None]
    gold_sources = {name for name, binding in work.bindings.items() if binding.is_gold}
    writer.write("index.jsonl", index_lines(work.examples, duplicates, work.contents, gold_sources))
    written["rejected.jsonl"] = writer.write(
        "rejected.jsonl", rejected_lines(work.rejects, work.contents)
    )
    writer.write("leak_report.jsonl", leaks.lines())
    read = {name: feed.rows_read for name, feed in work.feeds.items()}
    accounting = account(read, work.examples, work.rejects)
    check_files(split_counts(work.examples), written, len(work.rejects))
    if request.dataset.cleaning.dedupe != "off":
        check_homes(work.examples)
    manifest = {
        **describe_settings(work, labels, contracts),
        **describe_rows(work, accounting, mix, leaks),
        "lengths": lines.lengths.to_json(
            request.tokenizer_digest, is_measured=count_tokens is not None
        ),
        "row_sources": row_sources(work.examples, duplicates),
        "file_paths": {name: name for name in writer.files},
        "file_hashes": {name: output.digest for name, output in writer.files.items()},
        "file_sizes": {name: output.size_bytes for name, output in writer.files.items()},
    }
    writer.write_manifest(manifest)
    return writer, manifest
