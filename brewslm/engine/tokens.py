"""From prepared rows to token ids and loss masks, the one renderer of training and evaluation.

The masks are those that the plan foresees: `brewslm.rows.masks` with the tokenizer that
transformers loads and the chat template in its own process. Rows that cannot be rendered or masked
are left out one by one; a template that no row can be trained with is refused with the row that
shows it.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from brewslm.engine.chat_template import chat_template
from brewslm.engine.panics import refusing_panics
from brewslm.engine.token_row import Tokenized, TokenRow
from brewslm.errors import WorkerError
from brewslm.rows.masks import Masked, Masks, Messages, RowFault
from brewslm.rows.record import Split
from brewslm.rows.rejects import RejectCode


class Renderer:
    """A tokenizer with its chat template."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """tokenizer: with a chat template."""
        self.tokenizer = tokenizer
        self._template = chat_template(
            str(tokenizer.get_chat_template()), tokenizer.special_tokens_map
        )
        try:
            self._masks = Masks(self._template.render, _Codec(tokenizer))
        except TemplateError as error:
            raise _template_refusal(str(error)) from error
        self.end_ids = self._masks.end_ids

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
            return self._template.render(messages, None, is_prompt=is_prompt)
        except TemplateError as error:
            raise _template_refusal(str(error)) from error

    def prompt_ids(self, conversations: Iterable[Messages]) -> list[list[int]]:
        """Return the token ids of prompts, each ending where the answer begins."""
        return self.ids([self.text(messages, is_prompt=True) for messages in conversations])

    def ids(self, texts: list[str]) -> list[list[int]]:
        """Return the token ids of rendered texts; the template alone places special tokens.

        Raises: WorkerError with base_refused.
        """
        return _Codec(self.tokenizer).ids(texts)

    def tokenize(self, lines: Iterable[Mapping[str, Any]], max_tokens: int) -> Tokenized:
        """Return prepared rows with their loss masks, and what was left out.

        Raises: WorkerError where every row fails at the template.
        """
        rows: list[TokenRow] = []
        left_out: dict[str, list[str]] = {}
        faults: list[tuple[str, RowFault]] = []
        for line in lines:
            row_id = str(line["row_id"])
            try:
                row = _token_row(line, self._masks.row(line))
            except RowFault as fault:
                faults.append((row_id, fault))
                left_out.setdefault(str(fault.code), []).append(row_id)
                continue
            if len(row.input_ids) > max_tokens:
                left_out.setdefault("rows_too_long", []).append(row_id)
            elif not row.trained_tokens:
                left_out.setdefault("rows_without_loss", []).append(row_id)
            else:
                rows.append(row)
        of_template = [item for item in faults if item[1].is_of_template]
        if of_template and not rows and len(of_template) == len(faults):
            raise _refusal(*of_template[0])
        return Tokenized(rows, left_out)

    def prompt(self, line: Mapping[str, Any]) -> list[int]:
        """Return the tokens of a prepared row up to where its answer begins.

        Raises: RowFault.
        """
        return self._masks.prompt(line)

    def completion(self, line: Mapping[str, Any]) -> TokenRow:
        """Return a row whose labels are those of its answer alone, for scoring a reference.

        Raises: RowFault.
        """
        return _token_row(line, self._masks.completion(line))


class _Codec:
    """A tokenizer of transformers as masks need it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.values()
        special = {token.content for token in added if token.special}
        self.special_texts: Sequence[str] = sorted(special | set(tokenizer.all_special_tokens))
        ids = set(tokenizer.convert_tokens_to_ids(self.special_texts))
        self.special_ids = frozenset(ids - {tokenizer.unk_token_id})
        self.end_text = str(tokenizer.eos_token or "")

    def ids(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        with refusing_panics():
            encoded = self._tokenizer(texts, add_special_tokens=False, return_attention_mask=False)
        return [list(ids) for ids in encoded["input_ids"]]

    def text(self, ids: list[int], *, skips_special: bool) -> str:
        return str(
            self._tokenizer.decode(
                ids, skip_special_tokens=skips_special, clean_up_tokenization_spaces=False
            )
        )


def read_rows(prepared: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of a prepared set in file order; a set without rows has an empty file."""
    path = prepared / Split(name).file
    if not path.exists():
        return []
    with path.open("rb") as stream:
        return [orjson.loads(line) for line in stream if line.strip()]


def _token_row(line: Mapping[str, Any], masked: Masked) -> TokenRow:
    return TokenRow(str(line["row_id"]), masked.input_ids, masked.labels)


def _refusal(row_id: str, fault: RowFault) -> WorkerError:
    """Return the error of a template that no row can be trained with."""
    if fault.code is RejectCode.TEMPLATE_ERROR:
        return _template_refusal(fault.detail)
    return WorkerError(
        f"the chat template cannot be trained with: {fault.detail}",
        code="template_not_prefix_stable",
        found=f"row {row_id}",
        expected="a template whose rendering of a prefix is a prefix of the whole",
        remedy="write use_tokenizer_chat_template: false and choose chat_template",
    )


def _template_refusal(found: str) -> WorkerError:
    return WorkerError(
        "the chat template refuses this conversation",
        code="training_runtime_error",
        found=found,
        expected="a template that renders the roles and turns of every row",
        remedy="drop system_prompt, or write use_tokenizer_chat_template: false",
    )
