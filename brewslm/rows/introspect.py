"""Which mapper a file asks for: the names of its columns first, the kinds of their values second.

Names, kinds and distinct values come from the whole file, so the order of rows decides nothing and
neither does the length of texts. The rules stand in the order in which they are tried; a later one
that fits as well is another reading.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from brewslm.rows.columns import (
    BOOLEAN,
    INTEGERS,
    OBJECT,
    SHARED_TURNS,
    STRINGS,
    TAGS,
    TEXT,
    TURNS,
    Column,
)
from brewslm.rows.mapper import DefaultOptions
from brewslm.rows.matching import matching_text
from brewslm.rows.source import Feed, open_source

AMBIGUITY = 0.05
CAP_BELOW_RULE = 0.79
MANY_LABELS = 10
_CERTAIN = 0.95
_SYNONYM, _FURTHER_TEXT, _INCOMPLETE = 0.02, 0.05, 0.10
_COMPLETE_SHARE = 0.99

_PROMPT = ("prompt", "query", "question", "instruction", "input", "problem")
_COMPLETION = (
    "completion",
    "targets",
    "assistant",
    "response",
    "canonical_solution",
    "output",
    "answer",
    "solution",
)
_PROMPT_ALONE = ("prompt", "inputs", "user", "human")
_INSTRUCTION = ("instruction", "instructions")
_INPUT = ("input", "context")
_OUTPUT = ("output", "response", "expected", "answer", "completion")
_QUESTION = ("question", "query")
_ANSWER = ("answer", "answers", "response", "final_answer", "best_answer")
_CONTEXT = ("context", "passage", "contexts", "passages", "document")
_CHOSEN = ("chosen", "preferred", "accepted", "response_chosen")
_REJECTED = ("rejected", "dispreferred", "response_rejected", "negative")
_TURN_NAMES = ("messages", "conversations", "conversation", "dialog", "dialogue", "chat", "turns")
_TOOLS = ("tools", "functions", "tool_calls")
_TAG_NAMES = ("tags", "ner_tags", "pos_tags", "chunk_tags", "labels")
_ARTICLES = ("article", "document", "source_text", "dialogue", "dialog", "report", "text")
_SUMMARIES = ("summary", "abstract", "highlights", "target_text", "tldr")
_TEXTS = ("text", "sentence", "review", "content", "utterance", "tweet", "comment", "message")
_LABELS = ("label", "class", "category", "intent", "sentiment", "target", "labels", "topic")
_PAIRS = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("sentence_a", "sentence_b"),
)
_LANGUAGES = re.compile(
    "ar|bg|bn|cs|da|de|el|en|es|et|fa|fi|fr|he|hi|hr|hu|id|it|ja|ko|lt|lv|ms|nl|no|pl|pt|ro|ru|sk"
    "|sl|sr|sv|th|tr|uk|ur|vi|zh"
)
_IDLE = re.compile(
    "(?:.*_)?ids?|idx|index|uuid|guid|key|source|src|url|link|lang|language|locale|score|rating"
    "|title|name|author|date|created|created_at|timestamp|split|subset|meta|metadata|license"
    "|model|system|system_prompt|history"
)
"""Names of columns that no rule is less sure for."""


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

    @property
    def has_split_labels(self) -> bool:
        """Whether labels differ in spelling only."""
        return len({matching_text(value) for value in self.labels}) < len(self.labels)

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


@dataclass(frozen=True, slots=True)
class Reading:
    """How the rows of a file can be read."""

    proposals: tuple[Proposal, ...]
    advice: str = ""
    """What the rows are, and how to reshape them, where no mapper reads them."""
    headers_seen_as_values: tuple[str, ...] = ()
    """Columns whose name is also one of their values, as in a table without a header line."""


@dataclass(slots=True)
class Survey:
    """What a whole file shows about its columns."""

    rows: int = 0
    columns: dict[str, Column] = field(default_factory=dict)
    """By name in lower case."""

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a row."""
        self.rows += 1
        for name, value in row.items():
            key = name.strip().lower()
            column = self.columns.get(key)
            if column is None:
                column = self.columns[key] = Column(name)
            column.add(value)

    def find(self, names: Sequence[str], *kinds: str) -> Column | None:
        """Return the first of the named columns that has values, of one of the kinds if given."""
        for name in names:
            column = self.columns.get(name)
            if column is not None and column.rows and (not kinds or column.kind in kinds):
                return column
        return None

    def answer(self, names: Sequence[str]) -> Column | None:
        """Return the first of the named columns whose values are texts, numbers or booleans."""
        for name in names:
            column = self.columns.get(name)
            if column is not None and column.is_answer:
                return column
        return None

    def of_kind(self, *kinds: str) -> list[Column]:
        """Return the columns of some kinds."""
        return [column for column in self.columns.values() if column.kind in kinds]

    def texts(self) -> list[Column]:
        """Return the columns of text that say something: no ids, paths and the like."""
        return [
            column
            for name, column in self.columns.items()
            if column.is_text and not _IDLE.fullmatch(name) and column.paths < 0.8 * column.rows
        ]


def propose(locator: str, root: Path) -> tuple[Proposal, ...]:
    """Return ranked proposals for a file of the project.

    Raises: SourceError.
    """
    return propose_feed(open_source(locator, root), DefaultOptions().min_confidence)


def propose_feed(feed: Feed, min_confidence: float) -> tuple[Proposal, ...]:
    """Return ranked proposals for the rows of a source, which is read to its end.

    Raises: SourceError.
    """
    return read_feed(feed, min_confidence).proposals


def read_feed(feed: Feed, min_confidence: float) -> Reading:
    """Return how the rows of a source can be read; the source is read to its end.

    Raises: SourceError.
    """
    survey = Survey()
    for record in feed.records:
        if record.value is not None:
            survey.add(record.value)
    if advice := _advice(survey):
        return Reading((), advice)
    found = [proposal for rule in _RULES for proposal in rule(survey)]
    ranked = sorted(found, key=lambda item: -item.confidence)  # stable: the order of rules
    if rival := _rival(ranked):
        ranked[0] = replace(
            ranked[0],
            confidence=min(ranked[0].confidence, CAP_BELOW_RULE),
            warnings=(*ranked[0].warnings, f"{rival.mapper_id} fits as well"),
        )
    return Reading(
        tuple(
            replace(item, needs_force=item.confidence < min_confidence - 1e-9) for item in ranked
        ),
        headers_seen_as_values=tuple(
            column.name
            for column in survey.columns.values()
            if column.name.strip() in column.values and column.is_label
        ),
    )


def _rival(ranked: Sequence[Proposal]) -> Proposal | None:
    """Return a proposal for another task that is about as sure as the best and reads a column that
    the best one does not.
    """
    for other in ranked[1:]:
        is_near = ranked[0].confidence - other.confidence <= AMBIGUITY + 1e-9
        is_other_task = other.target_task_profile != ranked[0].target_task_profile
        own = set(ranked[0].field_map.values())
        if is_near and is_other_task and not own.issuperset(other.field_map.values()):
            return other
    return None


def _advice(survey: Survey) -> str:
    """Return what the rows are where they are known and no mapper reads them."""
    columns = survey.columns
    if survey.find(("choices", "options")) and survey.find(_QUESTION, TEXT):
        return (
            "multiple-choice questions; write the choices into the question and the text of the"
            " right one into answer"
        )
    for first, second in _PAIRS:
        if first in columns and second in columns:
            return (
                f"pairs of texts with one label; join {first} and {second} in one column named text"
            )
    if survey.find(("translation",), OBJECT):
        return "translations in one object; write two columns named source_text and target_text"
    if "parent_id" in columns:
        return "a tree of messages; write one conversation a row in a column named messages"
    if survey.find(("tokens",), STRINGS, TAGS) and survey.find(_TAG_NAMES, INTEGERS):
        return (
            "tokens with numbered tags; write the names of the tags, such as B-PER, in their place"
        )
    if survey.find(("embedding", "embeddings", "vector")):
        return "embeddings; write the text that they were made of"
    return ""


def _proposal(
    survey: Survey,
    mapper_id: str,
    profile: str,
    fields: Mapping[str, Column | None],
    optional: Mapping[str, Column | None] | None = None,
) -> Iterable[Proposal]:
    """Yield the proposal of a rule whose required fields were all found."""
    required = {name: column for name, column in fields.items() if column is not None}
    names = [column.name for column in required.values()]
    if len(required) < len(fields) or len(set(names)) < len(names):
        return
    further = {
        name: column
        for name, column in (optional or {}).items()
        if column is not None and column.name not in names
    }
    used = {column.name for column in (*required.values(), *further.values())}
    synonyms = sum(
        column.name.strip().lower() != name for name, column in (required | further).items()
    )
    left = [
        column
        for column in (*survey.texts(), *survey.of_kind(TURNS, SHARED_TURNS))
        if column.name not in used
    ]
    complete = min(column.rows for column in required.values())
    confidence = (
        _CERTAIN
        - _SYNONYM * synonyms
        - _FURTHER_TEXT * len(left)
        - _INCOMPLETE * (complete < _COMPLETE_SHARE * survey.rows)
    )
    field_map = {name: column.name for name, column in (required | further).items()}
    warnings = tuple(f'column "{column.name}" is not used' for column in left)
    yield Proposal(
        mapper_id,
        profile,
        field_map,
        round(max(confidence, 0.0), 4),
        ("columns " if len(field_map) > 1 else "column ") + ", ".join(field_map.values()),
        warnings,
    )


def _preference(survey: Survey) -> Iterable[Proposal]:
    kinds = (TEXT, TURNS, SHARED_TURNS)
    fields = {"chosen": survey.find(_CHOSEN, *kinds), "rejected": survey.find(_REJECTED, *kinds)}
    prompt = {"prompt": survey.find(_PROMPT, *kinds)}
    return _proposal(survey, "preference_pair", "preference", fields, prompt)


def _turns(survey: Survey) -> Iterable[Proposal]:
    for kind, mapper_id, name in (
        (TURNS, "chat_messages_passthrough", "messages"),
        (SHARED_TURNS, "sharegpt_to_chat", "conversations"),
    ):
        found = survey.of_kind(kind)
        column = survey.find(_TURN_NAMES, kind) or (found[0] if len(found) == 1 else None)
        tools = survey.find(_TOOLS)
        profile = "chat_sft" if tools is None else "tool_calling"
        if column is not None and column.name.strip().lower() not in ("prompt", "completion"):
            yield from _proposal(survey, mapper_id, profile, {name: column}, {"tools": tools})


def _calls(survey: Survey) -> Iterable[Proposal]:
    answers = survey.find(("answers", "answer", "output"))
    if answers is None or not (answers.is_json or answers.kind == "objects"):
        return ()
    return _proposal(
        survey,
        "instruction_passthrough",
        "tool_calling",
        {
            "instruction": survey.find(_PROMPT, TEXT),
            "output": answers,
            "tools": survey.find(_TOOLS),
        },
    )


def _tags(survey: Survey) -> Iterable[Proposal]:
    tokens = survey.find(("tokens", "words"), STRINGS, TAGS)
    tags = survey.find(_TAG_NAMES, TAGS)
    fields = {"tokens": tokens, "tags": tags}
    for proposal in _proposal(survey, "bio_to_spans", "structured_extraction", fields):
        names = proposal.field_map
        yield replace(proposal, field_map={"tokens": names["tokens"], "labels": names["tags"]})


def _translation(survey: Survey) -> Iterable[Proposal]:
    named = [column for name, column in survey.columns.items() if _LANGUAGES.fullmatch(name)]
    if len(named) != 2 or not all(column.is_text for column in named):
        return ()
    fields = {"question": named[0], "answer": named[1]}
    return _proposal(survey, "qa_pair_passthrough", "seq2seq", fields)


def _rag(survey: Survey) -> Iterable[Proposal]:
    context = survey.find(_CONTEXT, TEXT, STRINGS, "objects")
    answer = survey.find(_ANSWER, TEXT, STRINGS, OBJECT)
    question = survey.find(_QUESTION, TEXT)
    if context is None:
        return ()
    if context.rows < _COMPLETE_SHARE * survey.rows:
        fields = {"instruction": question, "output": survey.answer(_ANSWER)}
        extra = {"input": context if context.is_text else None}
        return _proposal(survey, "instruction_passthrough", "instruction_sft", fields, extra)
    fields = {"question": question, "context": context, "answer": answer}
    return _proposal(survey, "rag_passthrough", "rag_qa", fields)


def _completion(survey: Survey) -> Iterable[Proposal]:
    judged = survey.find(("label",), BOOLEAN)
    completion = survey.answer(_COMPLETION) or survey.find(_COMPLETION, TURNS)
    return _proposal(
        survey,
        "prompt_completion_passthrough",
        "instruction_sft" if judged is None else "preference",
        {"prompt": survey.find(_PROMPT_ALONE, TEXT, TURNS), "completion": completion},
        {"label": judged},
    )


def _instruction(survey: Survey) -> Iterable[Proposal]:
    instruction = survey.find(_INSTRUCTION, TEXT)
    extra = survey.find(_INPUT if instruction else ("input",), TEXT)
    answer, document = survey.answer(_OUTPUT), survey.find(_OUTPUT, OBJECT)
    is_json = document is not None or (answer is not None and answer.is_json)
    output = document or answer
    fields = {"instruction" if instruction else "input": instruction or extra, "output": output}
    profile = "structured_extraction" if is_json else "instruction_sft"
    return _proposal(survey, "instruction_passthrough", profile, fields, {"input": extra})


def _summary(survey: Survey) -> Iterable[Proposal]:
    if survey.find(_QUESTION):
        return
    article, summary = survey.find(_ARTICLES, TEXT), survey.find(_SUMMARIES, TEXT)
    for proposal in _proposal(
        survey, "qa_pair_passthrough", "summarization", {"article": article, "summary": summary}
    ):
        fields = dict(zip(("question", "answer"), proposal.field_map.values(), strict=True))
        yield replace(proposal, field_map=fields)


def _qa(survey: Survey) -> Iterable[Proposal]:
    if survey.find(_CONTEXT, TEXT):  # a question is not asked without its context
        return ()
    answer = survey.answer(_ANSWER) or survey.find(_ANSWER, STRINGS)
    system = survey.find(("system", "system_prompt"), TEXT)
    return _proposal(
        survey,
        "qa_pair_passthrough",
        "qa" if system is None or (answer and answer.kind == STRINGS) else "instruction_sft",
        {"question": survey.find((*_QUESTION, "problem"), TEXT), "answer": answer},
    )


def _classification(survey: Survey) -> Iterable[Proposal]:
    texts, label = _text_columns(survey), _label_column(survey)
    if not texts or label is None:
        return
    texts = [column for column in texts if column.name != label.name]
    if not texts:
        return
    text = texts[0]
    if not _is_about(text, label) and any(True for rule in _BEFORE_LABELS for _ in rule(survey)):
        return
    fields = {text.name.strip().lower(): text, label.name.strip().lower(): label}
    for proposal in _proposal(survey, "label_to_classification", "classification", fields):
        amount = len(label.values)
        warnings = list(proposal.warnings)
        confidence = proposal.confidence
        if amount > MANY_LABELS:
            warnings.append(f"{amount} labels")
        if len({matching_text(value) for value in label.values}) < amount:
            warnings.append("label_vocab_fragmented: labels differ in spelling only")
            confidence = min(confidence, CAP_BELOW_RULE)
        yield replace(
            proposal,
            field_map={"text": text.name, "label": label.name},
            confidence=confidence,
            rationale=f"a text column and {amount} label{'' if amount == 1 else 's'}",
            warnings=tuple(warnings),
            labels=tuple(sorted(label.values)),
        )


def _is_about(text: Column, label: Column) -> bool:
    """Return whether names say that a label is the answer, not a remark about another answer."""
    is_answer = label.name.strip().lower() in ("label", "labels", "intent", "sentiment")
    return is_answer or text.name.strip().lower() in _TEXTS


def _text_columns(survey: Survey) -> list[Column]:
    """Return the columns that a label may be about, the likeliest first."""
    ordered = survey.texts()
    named = survey.find(_TEXTS, TEXT)
    if named is not None:
        return [named]
    return sorted(ordered, key=lambda column: -column.characters)


def _label_column(survey: Survey) -> Column | None:
    """Return the column of a label's name, or else the only other one beside a text."""
    for name in _LABELS:
        column = survey.columns.get(name)
        if column is not None and column.rows and column.is_label:
            return column
    others = [
        column
        for name, column in survey.columns.items()
        if column.is_label and not _IDLE.fullmatch(name) and name not in _TEXTS
    ]
    is_only_other = (
        sum(not _IDLE.fullmatch(name) for name in survey.columns) == 2 and len(others) == 1
    )
    return others[0] if is_only_other and not _has_answer_name(others[0]) else None


def _has_answer_name(column: Column) -> bool:
    return column.name.strip().lower() in {*_COMPLETION, *_ANSWER, *_SUMMARIES, *_OUTPUT}


def _objects(survey: Survey) -> Iterable[Proposal]:
    answers = [column for column in survey.columns.values() if column.is_json]
    texts = [column for column in survey.texts() if column not in answers]
    if len(answers) != 1 or len(texts) != 1 or _IDLE.fullmatch(answers[0].name.strip().lower()):
        return
    fields = {texts[0].name.strip().lower(): texts[0], answers[0].name.strip().lower(): answers[0]}
    for proposal in _proposal(survey, "qa_pair_passthrough", "structured_extraction", fields):
        yield replace(proposal, field_map={"question": texts[0].name, "answer": answers[0].name})


def _text_only(survey: Survey) -> Iterable[Proposal]:
    texts = survey.texts()
    others = [
        column for column in survey.columns.values() if not column.kinds.keys() <= _PLAIN_KINDS
    ]
    if len(texts) == 1 and not others and texts[0].name.strip().lower() not in _LABELS:
        yield from _proposal(survey, "text_only", "language_modeling", {"text": texts[0]})


_PLAIN_KINDS = {TEXT, "integer", "number", BOOLEAN}
_BEFORE_LABELS = (_preference, _turns, _calls, _rag, _completion, _instruction, _summary, _qa)
_RULES = (
    _preference,
    _turns,
    _calls,
    _tags,
    _translation,
    _rag,
    _completion,
    _instruction,
    _summary,
    _qa,
    _classification,
    _objects,
    _text_only,
)
