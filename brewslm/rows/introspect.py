"""Which mapper a file asks for: column types, ranked proposals, and how sure each is.

Names, presence, lengths and distinct values come from the whole file; shapes of values come from
the rows with the smallest digests, so the order of rows decides nothing.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from brewslm.rows.columns import Column, ColumnType, classify
from brewslm.rows.identity import hex_digest
from brewslm.rows.mapper import MAPPERS, DefaultOptions
from brewslm.rows.matching import matching_text
from brewslm.rows.source import Feed, open_source

AMBIGUITY = 0.05
CAP_BELOW_RULE = 0.79
MANY_LABELS, MOST_LABELS = 10, 200
_TEXT = (ColumnType.TEXT_LIKE, ColumnType.CATEGORICAL, ColumnType.UNKNOWN)
_LABEL_NAMES = ("label", "class", "category")
_ARTICLE_NAMES = ("article", "document", "source_text", "text")
_SUMMARY_NAMES = ("summary", "abstract", "highlights", "target_text")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A mapper that fits a file, ranked by confidence."""

    mapper_id: str
    target_task_profile: str
    field_map: dict[str, str]
    confidence: float
    rationale: str
    warnings: tuple[str, ...] = ()
    needs_force: bool = False
    labels: tuple[str, ...] = ()
    """The whole label set, for `allowed_labels`."""

    def to_json(self) -> dict[str, Any]:
        """Return the proposal as plain JSON."""
        return {
            "mapper_id": self.mapper_id,
            "target_task_profile": self.target_task_profile,
            "field_map": self.field_map,
            "confidence": self.confidence,
            "rationale": self.rationale,
            "warnings": list(self.warnings),
            "needs_force": self.needs_force,
            "labels": list(self.labels),
        }


@dataclass(slots=True)
class _Survey:
    """What a whole file shows about its columns."""

    columns: dict[str, Column] = field(default_factory=dict)
    sample: list[Mapping[str, Any]] = field(default_factory=list)

    def of_type(self, *types: ColumnType) -> list[Column]:
        return [column for column in self.columns.values() if column.type in types]

    def find(self, name: str, *known: str) -> Column | None:
        return next((self.columns[item] for item in (name, *known) if item in self.columns), None)

    def text(self, name: str, *known: str) -> Column | None:
        column = self.find(name, *known)
        return column if column is not None and column.type in _TEXT else None


def propose(locator: str, root: Path) -> tuple[Proposal, ...]:
    """Return ranked proposals for a file of the project.

    Raises: SourceError.
    """
    defaults = DefaultOptions()
    feed = open_source(locator, root)
    return propose_feed(feed, defaults.sample_rows, defaults.min_confidence)


def propose_feed(feed: Feed, sample_rows: int, min_confidence: float) -> tuple[Proposal, ...]:
    """Return ranked proposals for the rows of a source, which is read to its end.

    Raises: SourceError.
    """
    survey = _survey(feed, sample_rows)
    found = [proposal for propose_one in _PROPOSERS for proposal in propose_one(survey)]
    ranked = sorted(found, key=lambda item: (-item.confidence, item.mapper_id))
    if len(ranked) > 1 and _is_ambiguous(ranked[0], ranked[1]):
        warning = f"{ranked[1].mapper_id} fits as well"
        ranked[0] = replace(
            ranked[0],
            confidence=min(ranked[0].confidence, CAP_BELOW_RULE),
            warnings=(*ranked[0].warnings, warning),
        )
    return tuple(
        replace(item, needs_force=item.confidence < min_confidence - 1e-9) for item in ranked
    )


def _is_ambiguous(best: Proposal, second: Proposal) -> bool:
    return (
        best.target_task_profile != second.target_task_profile
        and best.confidence - second.confidence <= AMBIGUITY + 1e-9
    )


def _survey(feed: Feed, sample_rows: int) -> _Survey:
    survey = _Survey()
    smallest: list[tuple[int, int, Mapping[str, Any]]] = []
    for ordinal, record in enumerate(feed.records):
        if record.value is None:
            continue
        for name, value in record.value.items():
            column = survey.columns.get(name)
            if column is None:
                column = survey.columns[name] = Column(name)
            column.add(value)
        digest = int(record.raw_digest or hex_digest(record.raw), 16)
        entry = (-digest, ordinal, record.value)
        if len(smallest) < sample_rows:
            heapq.heappush(smallest, entry)
        else:
            heapq.heappushpop(smallest, entry)
    survey.sample = [row for _, _, row in sorted(smallest, key=lambda item: -item[0])]
    for column in survey.columns.values():
        classify(column, [row.get(column.name) for row in survey.sample])
    survey.columns = dict(sorted(survey.columns.items()))
    return survey


def _mean(columns: Iterable[Column], bonus: float, cap: float) -> float:
    values = [column.confidence for column in columns]
    return round(min(sum(values) / len(values) + bonus, cap), 4)


def _bio(survey: _Survey) -> Iterable[Proposal]:
    tokens = survey.of_type(ColumnType.TOKENS_LIST)
    tags = survey.of_type(ColumnType.BIO_TAG_LIST)
    if len(tokens) != 1 or len(tags) != 1:
        return
    pairs = [
        (row[tokens[0].name], row[tags[0].name])
        for row in survey.sample
        if row.get(tokens[0].name) and row.get(tags[0].name)
    ]
    if pairs and all(len(words) == len(own) for words, own in pairs):
        yield Proposal(
            "bio_to_spans",
            "structured_extraction",
            {"tokens": tokens[0].name, "labels": tags[0].name},
            0.95,
            "token and tag lists of equal length",
        )


def _classification(survey: _Survey) -> Iterable[Proposal]:
    texts = survey.of_type(ColumnType.TEXT_LIKE)
    labels = survey.of_type(ColumnType.CATEGORICAL, ColumnType.BOOLEAN)
    named = [column for column in labels if column.name in _LABEL_NAMES]
    preferred = [column for column in texts if column.name == "text"]
    if not texts or not (candidates := named or labels):
        return
    text = (preferred or texts)[0]
    label = min(candidates, key=_label_rank)
    if len(label.values) > MOST_LABELS:
        return
    bonus = 0.05 * (text.name == "text") + 0.05 * (label.name in _LABEL_NAMES)
    confidence = _mean((text, label), bonus, 0.95)
    warnings = []
    if len(label.values) > MANY_LABELS:
        warnings.append(f"{len(label.values)} labels")
    if len({matching_text(value) for value in label.values}) < len(label.values):
        warnings.append("label_vocab_fragmented: labels differ in spelling only")
        confidence = min(confidence, CAP_BELOW_RULE)
    yield Proposal(
        "label_to_classification",
        "classification",
        {"text": text.name, "label": label.name},
        confidence,
        f"a text column and {len(label.values)} label{'' if len(label.values) == 1 else 's'}",
        tuple(warnings),
        labels=tuple(sorted(label.values)),
    )


def _label_rank(column: Column) -> tuple[int, float, str]:
    named = _LABEL_NAMES.index(column.name) if column.name in _LABEL_NAMES else len(_LABEL_NAMES)
    return named, -column.confidence, column.name


def _chat(survey: _Survey) -> Iterable[Proposal]:
    for mapper_id, name, kind in (
        ("chat_messages_passthrough", "messages", ColumnType.CHAT_MESSAGES),
        ("sharegpt_to_chat", "conversations", ColumnType.SHAREGPT_MESSAGES),
    ):
        columns = survey.of_type(kind)
        if len(columns) == 1:
            yield Proposal(
                mapper_id, "chat_sft", {name: columns[0].name}, 0.95, "a column of chat turns"
            )


def _named(
    survey: _Survey, mapper_id: str, profile: str, names: Sequence[str], bonus: float, cap: float
) -> Iterable[Proposal]:
    """Propose a mapper when a text column is found for each of its fields."""
    known = {item.name: item.known_names for item in MAPPERS.load(mapper_id).fields}
    columns = [survey.text(name, *known[name]) for name in names]
    present = [column for column in columns if column is not None]
    if len(present) < len(names) or len({column.name for column in present}) < len(names):
        return
    yield Proposal(
        mapper_id,
        profile,
        {name: column.name for name, column in zip(names, present, strict=True)},
        _mean(present, bonus, cap),
        "columns " + ", ".join(column.name for column in present),
    )


def _preference(survey: _Survey) -> Iterable[Proposal]:
    names = ("prompt", "chosen", "rejected")
    return _named(survey, "preference_pair", "preference", names, 0.10, 0.95)


def _rag(survey: _Survey) -> Iterable[Proposal]:
    names = ("question", "context", "answer")
    return _named(survey, "rag_passthrough", "rag_qa", names, 0.10, 0.95)


def _exact_names(
    survey: _Survey, mapper_id: str, names: Sequence[str], bonus: float, cap: float
) -> Iterable[Proposal]:
    columns = [survey.text(name) for name in names]
    present = [column for column in columns if column is not None]
    if len(present) == len(names):
        field_map = {name: name for name in names}
        mapper = MAPPERS.load(mapper_id)
        extra = [
            item.name
            for item in mapper.fields
            if item.name in survey.columns and item.name not in field_map and item.name != "label"
        ]
        yield Proposal(
            mapper_id,
            mapper.task_profile,
            {**field_map, **{name: name for name in extra}},
            _mean(present, bonus, cap),
            "columns " + ", ".join(names),
        )


def _instruction(survey: _Survey) -> Iterable[Proposal]:
    names = ("instruction", "output")
    return _exact_names(survey, "instruction_passthrough", names, 0.10, 0.93)


def _completion(survey: _Survey) -> Iterable[Proposal]:
    names = ("prompt", "completion")
    return _exact_names(survey, "prompt_completion_passthrough", names, 0.10, 0.92)


def _pairs(survey: _Survey) -> Iterable[Proposal]:
    """Propose summaries of articles, or else questions with answers."""
    article = survey.text(*_ARTICLE_NAMES)
    summary = survey.text(*_SUMMARY_NAMES)
    question = survey.text("question")
    if article is not None and summary is not None and question is None:
        yield Proposal(
            "qa_pair_passthrough",
            "seq2seq",
            {"question": article.name, "answer": summary.name},
            _mean((article, summary), 0.12, 0.93),
            f"columns {article.name}, {summary.name}",
        )
        return
    known = {item.name: item.known_names for item in MAPPERS.load("rag_passthrough").fields}
    answer = survey.text("answer", "response")
    if question is None or answer is None or survey.find("context", *known["context"]):
        return
    yield Proposal(
        "qa_pair_passthrough",
        "qa",
        {"question": question.name, "answer": answer.name},
        _mean((question, answer), 0.10, 0.92),
        f"columns {question.name}, {answer.name}",
    )


def _text_only(survey: _Survey) -> Iterable[Proposal]:
    texts = survey.of_type(ColumnType.TEXT_LIKE)
    idle = (ColumnType.NUMERIC, ColumnType.PATH_LIKE, ColumnType.UNKNOWN)
    others = [column for column in survey.columns.values() if column.type not in idle]
    if len(texts) == 1 and others == texts:
        confidence = min(texts[0].confidence + 0.05 * (texts[0].name == "text"), 0.90)
        yield Proposal(
            "text_only",
            "language_modeling",
            {"text": texts[0].name},
            round(confidence, 4),
            "one text column and nothing else",
        )


_PROPOSERS = (
    _bio,
    _classification,
    _chat,
    _instruction,
    _preference,
    _rag,
    _pairs,
    _completion,
    _text_only,
)
