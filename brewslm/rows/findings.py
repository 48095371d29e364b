"""Findings about data: what was found, where the first rows stand, and what to do."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from brewslm.address import Address
from brewslm.diagnostics import Finding, FindingCode, Place, Severity
from brewslm.errors import BrewError
from brewslm.registry import closest
from brewslm.rows.binding import Binding
from brewslm.rows.clean import has_invisible
from brewslm.rows.held_findings import no_train_rows
from brewslm.rows.introspect import Proposal
from brewslm.rows.leaks import CODES, Leak
from brewslm.rows.matching import matching_text
from brewslm.rows.mix import Mix
from brewslm.rows.record import Position, Reject, Split
from brewslm.rows.rejects import REMEDIES, RejectCode
from brewslm.rows.remark_findings import remark_findings
from brewslm.rows.request import Request, SourceRequest
from brewslm.rows.schema import SchemaError
from brewslm.rows.source import Feed
from brewslm.rows.split import Placement
from brewslm.rows.stored import ContentStore, StoredExample

SHOWN_POSITIONS = 5
SMALL_GOLD_ROWS = 30
NEED_ALL_ROWS = frozenset(
    {
        FindingCode.NO_TRAIN_ROWS,
        FindingCode.SPLIT_EMPTY,
        FindingCode.MIN_ROWS_UNMET,
        FindingCode.LABEL_MISSING_IN_SPLIT,
        FindingCode.LABELS_WITHOUT_GOLD,
        FindingCode.SMALL_GOLD_SET,
    }
)
"""Findings about what is absent: only true of a dataset whose sources could all be read."""
_WARN_SHARE = 0.2


class LowConfidenceError(BrewError):
    """Introspection is not sure which mapper a source needs; code MAPPING_LOW_CONFIDENCE."""


def low_confidence(
    source: SourceRequest, proposals: Sequence[Proposal], unreadable: Mapping[str, str]
) -> LowConfidenceError:
    """Return the error that shows ranked proposals as lines to paste.

    unreadable: columns with cells that could not be read, with a reject code each.
    """
    lost = ", ".join(f"{column} ({code})" for column, code in sorted(unreadable.items()))
    ranked = "; ".join(
        f"base_adapter_id: {item.mapper_id}, field_mapping: {_flow(item.field_map)}"
        f" ({item.confidence:.2f})"
        for item in proposals[:3]
    )
    return LowConfidenceError(
        f'which mapper the rows of "{source.name}" need is not certain',
        code=FindingCode.MAPPING_LOW_CONFIDENCE,
        found=(ranked or "no mapper that fits") + (f"; not readable: {lost}" if lost else ""),
        expected="a proposal that is certain, or a mapper that is written",
        remedy=(
            f"write an adapter with source_ref: {source.name} and one of: {ranked}"
            if ranked
            else f"write an adapter with source_ref: {source.name} and base_adapter_id"
        ),
    )


def no_row_readable(source: SourceRequest, faults: Mapping[str, int]) -> LowConfidenceError:
    """Return the error that says why a file shows no mapper: nothing in it is a row."""
    counts = ", ".join(f"{code} {count}" for code, count in sorted(faults.items()))
    return LowConfidenceError(
        f'nothing in "{source.name}" can be read as a row',
        code=FindingCode.MAPPING_LOW_CONFIDENCE,
        found=counts or "no row at all",
        expected="rows in the format that the file's name says",
        remedy="export the rows as JSON lines, uncompressed",
    )


def unsupported_task(
    source: SourceRequest, profile: str, request: Request, position: Position
) -> Finding | None:
    """Return the finding about rows of a task that nothing trains or evaluates, if they are.

    position: of the first such row.
    """
    supported = request.supported_profiles
    if supported is None or profile in supported:
        return None
    address = Address("data_source", source.name)
    if request.dataset.task_profile == profile:
        address = Address("dataset")
    elif source.adapter:
        address = Address("adapter", source.adapter)
    return Finding(
        FindingCode.VALUE_UNAVAILABLE,
        Severity.ERROR,
        f'the rows of "{source.name}" are {profile} rows, which are recognised but not supported '
        "yet",
        f"bind an adapter that maps them to one of {', '.join(supported)}",
        address=str(address),
        place=_place(position),
        found=profile,
        expected=", ".join(supported),
    )


def schema_finding(error: SchemaError) -> Finding:
    """Return the finding that the dataset's JSON Schema cannot be used."""
    return Finding(
        FindingCode.JSON_SCHEMA_INVALID,
        Severity.ERROR,
        error.message,
        error.remedy,
        field="spec.dataset.contract.json_schema",
        address="dataset",
        found=error.found,
        expected=error.expected,
    )


def source_findings(source: SourceRequest, feed: Feed, binding: Binding) -> list[Finding]:
    """Return what reading one source showed: pins that do not hold, columns that are missing."""
    address = str(Address("data_source", source.name))
    place = Place(feed.locator.path)
    found = []
    if source.sha256 is not None and feed.digest != f"sha256:{source.sha256}":
        found.append(
            Finding(
                FindingCode.SOURCE_DIGEST_MISMATCH,
                Severity.ERROR,
                f'the bytes of "{feed.locator.path}" are not the pinned ones',
                f"write sha256: {feed.digest.removeprefix('sha256:')} if the change is wanted",
                field="sha256",
                address=address,
                place=place,
                found=feed.digest,
                expected=f"sha256:{source.sha256}",
            )
        )
    if source.record_count and feed.rows_read != source.record_count:
        found.append(
            Finding(
                FindingCode.RECORD_COUNT_MISMATCH,
                Severity.ERROR,
                f'"{feed.locator.path}" has another number of rows',
                f"write record_count: {feed.rows_read} if the change is wanted",
                field="record_count",
                address=address,
                place=place,
                found=str(feed.rows_read),
                expected=str(source.record_count),
            )
        )
    if feed.tally.suspects:
        found.append(_covering_cell(feed, address))
    if feed.rows_read:
        found += _missing_columns(feed, binding, place)
    return [*found, *remark_findings(feed, binding, address)]


def _covering_cell(feed: Feed, address: str) -> Finding:
    line, lines = feed.tally.suspects[0]
    more = len(feed.tally.suspects) - 1
    return Finding(
        FindingCode.SOURCE_STRUCTURE,
        Severity.WARNING,
        "one quoted cell covers lines that each look like a row",
        "close the quote on that line, unless the cell is meant to hold a table",
        address=address,
        place=Place(feed.locator.path, line),
        found=f"{lines} lines in one cell" + (f", and {more} more such cells" if more else ""),
        expected="a quote that is closed on its line, or text over several lines",
    )


def _missing_columns(feed: Feed, binding: Binding, place: Place) -> list[Finding]:
    columns = tuple(feed.tally.columns)
    mapped = binding.source.field_mapping
    required = {item.name for item in binding.mapper.fields if item.is_required}
    wanted = {
        column: name
        for name, column in (*binding.field_map.items(), *mapped.items())
        if name in required or name in mapped
    }
    alternatives = binding.mapper.one_of
    if alternatives and not any(binding.field_map[name] in columns for name in alternatives):
        wanted[binding.field_map[alternatives[0]]] = " or ".join(alternatives)
    grouping = binding.grouping
    if not binding.is_gold:
        known = {*columns, *binding.field_map}
        wanted.update({name: "split" for name in grouping.group_by if name not in known})
        if grouping.stratify_by is not None and grouping.stratify_by not in known:
            wanted[grouping.stratify_by] = "split"
    return [
        Finding(
            FindingCode.COLUMN_NOT_FOUND,
            Severity.ERROR,
            f'no row of "{feed.locator.path}" has the column "{column}" for {name}',
            _column_remedy(name, closest(column, columns)),
            address=_binding_address(binding),
            place=place,
            found=", ".join(columns) or "no columns",
            expected=f'"{column}"',
            suggestions=closest(column, columns),
        )
        for column, name in sorted(wanted.items())
        if column not in columns
    ]


def _column_remedy(name: str, suggestions: tuple[str, ...]) -> str:
    if suggestions:
        return f"write {name}: {suggestions[0]} in field_mapping (closest match)"
    return f"bind {name} to a column in field_mapping"


def _binding_address(binding: Binding) -> str:
    source = binding.source
    if source.adapter:
        return str(Address("adapter", source.adapter))
    return str(Address("data_source", source.name))


def leak_findings(leaks: Sequence[Leak], action: str) -> list[Finding]:
    """Return one finding a layer, with the first positions of both sides."""
    severity = Severity.WARNING if action == "warn" else Severity.ERROR
    by_code: dict[str, list[Leak]] = defaultdict(list)
    for leak in leaks:
        by_code[leak.code].append(leak)
    found = []
    for code in CODES:
        if own := sorted(by_code.get(code, ()), key=lambda item: item.evaluated.position):
            first = own[0]
            shown = "; ".join(
                f"{item.trained.position} = {item.evaluated.position}"
                for item in own[:SHOWN_POSITIONS]
            )
            found.append(
                Finding(
                    FindingCode.LEAK_FOUND,
                    severity,
                    f"{code} {len(own)}: training rows resemble evaluation rows",
                    "remove the rows from the training side, or write"
                    " leak_check.action: warn to accept them",
                    field=f"spec.dataset.leak_check.{code}",
                    address="dataset",
                    place=_place(first.trained.position),
                    found=shown,
                    expected="no training row that resembles an evaluation row",
                )
            )
    return found


def dataset_findings(
    request: Request,
    bindings: Sequence[Binding],
    examples: Sequence[StoredExample],
    contents: ContentStore,
    rejects: Sequence[Reject],
    placement: Placement,
    labels: tuple[str, ...],
    rows_read: int,
) -> list[Finding]:
    """Return findings about the dataset as a whole."""
    return [
        *_reject_findings(rejects),
        *_rate_findings(request, rejects, rows_read),
        *_profile_findings(request, bindings),
        *_set_findings(request, bindings, examples, rejects, placement),
        *_label_findings(examples, labels),
        *_conflict_findings(examples, contents),
        *_pii_findings(request, bindings),
    ]


def _reject_findings(rejects: Sequence[Reject]) -> list[Finding]:
    by_code: dict[str, list[Reject]] = defaultdict(list)
    for reject in rejects:
        if reject.of_row_id is None:
            by_code[reject.code].append(reject)
    found = []
    for code, own in sorted(by_code.items()):
        first = min(own, key=lambda item: item.position)
        detail = f" ({f'{first.field_path} {first.detail}'.strip()})"
        found.append(
            Finding(
                str(code),
                Severity.WARNING,
                f"{_rows(len(own))} rejected: {code}",
                REMEDIES[RejectCode(code)],
                address=str(Address("data_source", first.position.source)),
                place=_place(first.position),
                found=_positions(item.position for item in own)
                + (detail if first.field_path or first.detail else ""),
            )
        )
    return found


def _rate_findings(request: Request, rejects: Sequence[Reject], rows_read: int) -> list[Finding]:
    own = [reject for reject in rejects if reject.of_row_id is None]
    counts = Counter(reject.code for reject in own)
    total = counts.total()
    lost = sum(reject.lost_rows for reject in own)
    rate = request.dataset.contract.max_reject_rate
    share = lost / (rows_read + lost - total) if rows_read else 0.0
    by_code = ", ".join(f"{code} {count}" for code, count in sorted(counts.items()))
    found = []
    if total and share > rate * _WARN_SHARE:
        severity = Severity.ERROR if share > rate else Severity.WARNING
        found.append(
            Finding(
                FindingCode.REJECT_RATE_EXCEEDED,
                severity,
                f"{total} of {rows_read} rows are rejected"
                + (f"; with what could not be read about {lost} rows are lost" * (lost > total)),
                "mend the rows, or raise contract.max_reject_rate",
                field="spec.dataset.contract.max_reject_rate",
                address="dataset",
                found=f"{share:.4f} ({by_code})",
                expected=f"at most {rate}",
            )
        )
    limits = request.dataset.contract.max_rejects_by_code
    found += [
        Finding(
            FindingCode.REJECT_RATE_EXCEEDED,
            Severity.ERROR,
            f"{_rows(counts[code])} rejected as {code}",
            f"mend the rows, or raise contract.max_rejects_by_code.{code}",
            field=f"spec.dataset.contract.max_rejects_by_code.{code}",
            address="dataset",
            found=str(counts[code]),
            expected=f"at most {limit}",
        )
        for code, limit in sorted(limits.items())
        if counts[code] > limit
    ]
    return found


def _profile_findings(request: Request, bindings: Sequence[Binding]) -> list[Finding]:
    by_profile: dict[str, str] = {}
    for binding in bindings:
        if binding.source.name != request.dataset.mix_back.source:
            by_profile.setdefault(binding.target.task_profile, binding.source.name)
    wanted = request.dataset.task_profile
    others = [profile for profile in by_profile if wanted not in (None, profile)]
    if len(by_profile) < 2 and not others:
        return []
    shown = ", ".join(f"{profile} ({name})" for profile, name in sorted(by_profile.items()))
    return [
        Finding(
            FindingCode.TASK_PROFILE_CONFLICT,
            Severity.ERROR,
            "the sources of the dataset are for different tasks",
            "set dataset.task_profile, or drop a source",
            field="spec.dataset.task_profile",
            address="dataset",
            found=shown,
            expected=wanted or "one task profile",
        )
    ]


def _set_findings(
    request: Request,
    bindings: Sequence[Binding],
    examples: Sequence[StoredExample],
    rejects: Sequence[Reject],
    placement: Placement,
) -> list[Finding]:
    counts = Counter(example.split for example in examples)
    found = []
    if any(not binding.is_gold for binding in bindings) and not counts[Split.TRAIN]:
        found.append(no_train_rows(examples, rejects))
    found += [
        Finding(
            FindingCode.SPLIT_EMPTY,
            Severity.ERROR,
            f"the {split.role} set has a share and no rows",
            f"add rows, use finer groups, or write split.{split.role}: 0",
            field=f"spec.dataset.split.{split.role}",
            address="dataset",
            found="0 rows",
            expected="at least 1",
        )
        for split in placement.empty
        if not counts[split]
    ]
    min_rows = request.dataset.contract.min_rows
    if counts[Split.TRAIN] < min_rows:
        found.append(
            Finding(
                FindingCode.MIN_ROWS_UNMET,
                Severity.ERROR,
                "there are fewer train rows than the contract asks for",
                "add rows, or lower contract.min_rows",
                field="spec.dataset.contract.min_rows",
                address="dataset",
                found=str(counts[Split.TRAIN]),
                expected=f"at least {min_rows}",
            )
        )
    found += [
        Finding(
            FindingCode.SMALL_GOLD_SET,
            Severity.WARNING,
            f"{split.role} has {_rows(counts[split])}; a verdict on so few moves by chance",
            f"add evaluation rows, {SMALL_GOLD_ROWS} at least",
            address="dataset",
            found=str(counts[split]),
            expected=f"at least {SMALL_GOLD_ROWS}",
        )
        for split in (Split.GOLD_DEV, Split.GOLD_TEST)
        if 0 < counts[split] < SMALL_GOLD_ROWS
    ]
    untargeted = [
        example
        for example in examples
        if example.split in (Split.TRAIN, Split.VALIDATION) and not example.has_target
    ]
    if untargeted:
        first = min(example.position for example in untargeted)
        found.append(
            Finding(
                FindingCode.NO_TRAINING_TARGET,
                Severity.ERROR,
                f"{_rows(len(untargeted))} accepted without an answer to learn",
                "map the answer column, or use the rows as gold rows",
                address="dataset",
                place=_place(first),
                found=_positions(example.position for example in untargeted),
            )
        )
    return found


def _label_findings(examples: Sequence[StoredExample], labels: tuple[str, ...]) -> list[Finding]:
    found = []
    forms: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        forms[matching_text(label)].append(label)
    found += [
        Finding(
            FindingCode.LABEL_COLLISION,
            Severity.ERROR,
            "two labels look equal",
            f"write one spelling in all rows: {same[0]}",
            address="dataset",
            place=_rarest_of(examples, same),
            found=", ".join(ascii(label) for label in same),
            expected="labels that differ in more than case, blanks and invisible characters",
        )
        for _, same in sorted(forms.items())
        if len(same) > 1
    ]
    found += [
        Finding(
            FindingCode.INVISIBLE_IN_IDENTIFIER,
            Severity.WARNING,
            "a label has characters that nobody sees",
            "write the label without them",
            address="dataset",
            place=_rarest_of(examples, [label]),
            found=ascii(label),
            expected="visible characters",
        )
        for label in labels
        if has_invisible(label)
    ]
    present: dict[Split, set[str]] = defaultdict(set)
    for example in examples:
        if example.label is not None and example.split is not None:
            present[example.split].add(example.label)
    for split in (Split.TRAIN, Split.VALIDATION, Split.TEST, Split.GOLD_DEV, Split.GOLD_TEST):
        missing = [label for label in labels if present[split] and label not in present[split]]
        if missing:
            code = (
                FindingCode.LABELS_WITHOUT_GOLD
                if split.is_gold
                else FindingCode.LABEL_MISSING_IN_SPLIT
            )
            found.append(
                Finding(
                    code,
                    Severity.WARNING,
                    f"{split.role} has no row of {_counted(len(missing))}",
                    "add rows of these labels, or group rows more finely",
                    address="dataset",
                    found="none of " + _shown(missing),
                    expected=f"rows of all {len(labels)} labels",
                )
            )
    return found


def _counted(amount: int) -> str:
    return "1 label" if amount == 1 else f"{amount} labels"


def _shown(labels: Sequence[str]) -> str:
    names = ", ".join(f'"{label}"' for label in labels[:SHOWN_POSITIONS])
    more = len(labels) - SHOWN_POSITIONS
    return f"{names} and {more} more" if more > 0 else names


def _rarest_of(examples: Sequence[StoredExample], labels: Sequence[str]) -> Place:
    """Return the first place of the label with the fewest rows."""
    places: dict[str, list[Position]] = defaultdict(list)
    for example in examples:
        if example.label is not None and example.label in labels:
            places[example.label].append(example.position)
    if not places:
        return Place()
    rarest = min(places, key=lambda label: (len(places[label]), min(places[label])))
    return _place(min(places[rarest]))


def _conflict_findings(examples: Sequence[StoredExample], contents: ContentStore) -> list[Finding]:
    conflicts = [own for own in _with_equal_inputs(examples) if _differ(own, contents)]
    if not conflicts:
        return []
    places = [example.position for own in conflicts for example in own]
    return [
        Finding(
            FindingCode.LABEL_CONFLICT,
            Severity.WARNING,
            f"{len(conflicts)} inputs have different answers",
            "decide on one answer, or keep them as they are",
            address="dataset",
            place=_place(min(places)),
            found=_positions(places),
        )
    ]


def _differ(examples: Sequence[StoredExample], contents: ContentStore) -> bool:
    references = [contents.content(example).reference for example in examples]
    return any(reference != references[0] for reference in references)


def _with_equal_inputs(examples: Sequence[StoredExample]) -> list[list[StoredExample]]:
    """Return the examples that share their inputs with others, each row_id once."""
    seen: set[bytes] = set()
    shared: set[bytes] = set()
    for example in examples:
        if example.input_names:
            (shared if example.input_digest in seen else seen).add(example.input_digest)
    by_input: dict[bytes, dict[bytes, StoredExample]] = defaultdict(dict)
    for example in examples:
        if example.input_digest in shared and example.input_names:
            by_input[example.input_digest].setdefault(example.row_digest, example)
    return [list(own.values()) for own in by_input.values() if len(own) > 1]


def mix_findings(request: Request, mix: Mix) -> list[Finding]:
    """Return a finding where there are too few general rows for the share that is asked for."""
    mix_back = request.dataset.mix_back
    source, fraction = mix_back.source, mix_back.fraction
    if source is None or not fraction or not mix.train_rows_effective:
        return []
    rows = int((mix.mix_back or {}).get("rows", 0))
    own = mix.train_rows_effective - rows
    wanted = round(fraction * own / (1 - fraction))
    if rows >= wanted:
        return []
    return [
        Finding(
            FindingCode.MIX_BACK_SHORT,
            Severity.WARNING,
            f'"{source}" has too few rows for the share that is to be mixed back',
            f"add rows to it, or write mix_back.fraction: {rows / mix.train_rows_effective:.3g}",
            field="spec.dataset.mix_back.fraction",
            address="dataset",
            found=f"{_rows(rows)}, a share of {rows / mix.train_rows_effective:.3g}",
            expected=f"{_rows(wanted)}, a share of {fraction:g}",
        )
    ]


def _pii_findings(request: Request, bindings: Sequence[Binding]) -> list[Finding]:
    action = request.dataset.cleaning.pii
    hits = [hit for binding in bindings for hit in binding.pii_places]
    if not hits or action in ("off", "redact"):
        return []
    types = Counter(hit.type for hit, _ in hits)
    return [
        Finding(
            FindingCode.PII_FOUND,
            Severity.ERROR if action == "block" else Severity.WARNING,
            f"{_rows(len({position for _, position in hits}))} with personal data",
            "write cleaning.pii: redact, or clean the rows",
            field="spec.dataset.cleaning.pii",
            address="dataset",
            place=_place(min(position for _, position in hits)),
            found=", ".join(f"{kind} {count}" for kind, count in sorted(types.items()))
            + "; first "
            + _positions({position for _, position in hits}),
        )
    ]


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _positions(positions: Iterable[Position]) -> str:
    ordered = sorted(positions)
    shown = ", ".join(str(position) for position in ordered[:SHOWN_POSITIONS])
    more = len(ordered) - SHOWN_POSITIONS
    return f"{shown} and {more} more" if more > 0 else shown


def _place(position: Position) -> Place:
    return Place(position.file, position.line)


def _flow(field_map: dict[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {column}" for name, column in field_map.items()) + "}"
