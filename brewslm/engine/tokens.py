"""From prepared rows to token ids and loss masks, the one renderer of training and evaluation.

The masks come from rendering message prefixes with the model's chat template; every trained span is
verified by decoding. A template that renders a conversation differently once it goes on is refused
with the row that shows it.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from brewslm.engine.chat_template import chat_template
from brewslm.engine.panics import refusing_panics
from brewslm.errors import WorkerError

IGNORED = -100
"""The label of a position that carries no loss."""

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class TokenRow:
    """A row as a model sees it."""

    row_id: str
    input_ids: list[int]
    labels: list[int]
    """As long as `input_ids`; `IGNORED` where no loss is taken."""
    source: int | None = None
    """Number of the source that it counts for; None where nobody counts."""

    @property
    def trained_tokens(self) -> int:
        """Positions that carry loss."""
        return sum(label != IGNORED for label in self.labels)


@dataclass(frozen=True)
class Tokenized:
    """Rows that can be trained on, and what was left out by reason."""

    rows: list[TokenRow]
    left_out: dict[str, list[str]]
    """rows_too_long, rows_without_loss: to row_ids."""


class Renderer:
    """A tokenizer with its chat template."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """tokenizer: with a chat template."""
        self.tokenizer = tokenizer
        self._template = chat_template(
            str(tokenizer.get_chat_template()), tokenizer.special_tokens_map
        )
        self.end_ids = self._end_ids()

    @property
    def template_digest(self) -> str:
        """SHA-256 of the chat template's text."""
        return "sha256:" + hashlib.sha256(str(self.tokenizer.chat_template).encode()).hexdigest()

    def text(self, messages: Messages, *, is_prompt: bool) -> str:
        """Return a conversation as the model reads it; a prompt ends where the answer begins.

        Raises: WorkerError with template_limit_exceeded, or training_runtime_error where the
        template itself objects.
        """
        try:
            return self._template.render(messages, is_prompt=is_prompt)
        except TemplateError as error:
            raise WorkerError(
                "the chat template refuses this conversation",
                code="training_runtime_error",
                found=str(error),
                expected="a template that renders the roles and turns of every row",
                remedy="drop system_prompt, or write use_tokenizer_chat_template: false",
            ) from error

    def prompt_ids(self, conversations: Iterable[Messages]) -> list[list[int]]:
        """Return the token ids of prompts, each ending where the answer begins."""
        return self.ids([self.text(messages, is_prompt=True) for messages in conversations])

    def ids(self, texts: list[str]) -> list[list[int]]:
        """Return the token ids of rendered texts; the template alone places special tokens.

        Raises: WorkerError with base_refused.
        """
        if not texts:
            return []
        with refusing_panics():
            encoded = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False)
        return [list(ids) for ids in encoded["input_ids"]]

    def tokenize(self, lines: Iterable[Mapping[str, Any]], max_tokens: int) -> Tokenized:
        """Return prepared rows with their loss masks.

        Raises: WorkerError with template_not_prefix_stable when a trained span cannot be told from
        the rest for sure.
        """
        rows: list[TokenRow] = []
        left_out: dict[str, list[str]] = {}
        for line in lines:
            row = self._row(line)
            if len(row.input_ids) > max_tokens:
                left_out.setdefault("rows_too_long", []).append(row.row_id)
            elif not row.trained_tokens:
                left_out.setdefault("rows_without_loss", []).append(row.row_id)
            else:
                rows.append(row)
        return Tokenized(rows, left_out)

    def completion(self, line: Mapping[str, Any]) -> TokenRow:
        """Return a row whose labels are those of its answer alone, for scoring a reference."""
        return self._row({**line, "loss": "completion"})

    def _row(self, line: Mapping[str, Any]) -> TokenRow:
        messages = line["messages"]
        texts = [self.text(messages, is_prompt=False)]
        spans = list(_spans(line))
        for start, end in spans:
            texts.append(self.text(messages[:start], is_prompt=True))
            texts.append(self.text(messages[:end], is_prompt=False))
        encoded = self.ids(texts)
        whole = encoded[0]
        labels = [IGNORED] * len(whole)
        row_id = str(line["row_id"])
        if line["loss"] == "all_tokens":
            return TokenRow(row_id, whole, list(whole))
        for index, (start, end) in enumerate(spans):
            before, until = encoded[1 + 2 * index], encoded[2 + 2 * index]
            if whole[: len(before)] != before or whole[: len(until)] != until:
                raise self._unstable(
                    row_id, "it renders a prompt differently once the answer follows"
                )
            stop = self._end_of(whole, len(before), len(until))
            labels[len(before) : stop] = whole[len(before) : stop]
            self._verify(row_id, whole[len(before) : stop], messages[start:end])
        return TokenRow(row_id, whole, labels)

    def _end_of(self, ids: list[int], start: int, stop: int) -> int:
        """Return where a span ends: after its last end token, so that trailing line breaks carry
        no loss.
        """
        ends = [index for index in range(start, stop) if ids[index] in self.end_ids]
        return ends[-1] + 1 if ends else stop

    def _verify(self, row_id: str, ids: list[int], messages: Messages) -> None:
        found = self.tokenizer.decode(ids, skip_special_tokens=True)
        expected = [str(message["content"]).strip() for message in messages]
        if len(expected) == 1 and found.strip() != expected[0]:
            if found.strip().startswith(expected[0]):
                raise self._unstable(row_id, "what ends an answer is no token of this tokenizer")
            raise self._unstable(row_id, "its trained span does not decode to the answer")
        if any(text not in found for text in expected):
            raise self._unstable(row_id, "its trained span does not contain the answer")

    def _unstable(self, row_id: str, why: str) -> WorkerError:
        return WorkerError(
            f"the chat template cannot be trained with: {why}",
            code="template_not_prefix_stable",
            found=f"row {row_id}",
            expected="a template whose rendering of a prefix is a prefix of the whole",
            remedy="write use_tokenizer_chat_template: false and choose chat_template",
        )

    def _end_ids(self) -> frozenset[int]:
        """Return the tokens that end an answer: end of sequence, and what the template puts after
        an assistant's turn.
        """
        asked = [{"role": "user", "content": "a"}]
        answered = [*asked, {"role": "assistant", "content": "b"}]
        prompt = self.text(asked, is_prompt=True)
        whole = self.text(answered, is_prompt=False)
        ends = {self.tokenizer.eos_token_id}
        if whole.startswith(prompt):
            specials = set(self.tokenizer.all_special_ids)
            tail = self.ids([whole[len(prompt) :]])[0]
            ends |= {token for token in tail if token in specials}
        return frozenset(end for end in ends if end is not None)


def read_rows(prepared: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of a prepared set in file order; a set without rows has an empty file."""
    path = prepared / f"{'val' if name == 'validation' else name}.jsonl"
    if not path.exists():
        return []
    with path.open("rb") as stream:
        return [orjson.loads(line) for line in stream if line.strip()]


def _spans(line: Mapping[str, Any]) -> Iterable[tuple[int, int]]:
    """Return the message ranges that carry loss."""
    messages = line["messages"]
    if line["loss"] == "assistant_turns":
        for index, message in enumerate(messages):
            if message["role"] == "assistant":
                yield index, index + 1
    elif line["loss"] == "completion":
        yield line["completion_from"], len(messages)
