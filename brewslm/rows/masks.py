"""Which tokens of a row carry loss: the one algorithm that plan and training share.

A row is rendered whole and up to the beginning and the end of each trained span; the tokens of
these texts say where a span lies. Where tokens reach across such a boundary, the text is cut there,
so that the prompt has the tokens that it has when the model answers. Every trained span is verified
by decoding. What fails is a fault of that row, with a reject code.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import orjson
from jinja2 import TemplateError

from brewslm.rows.rejects import RejectCode

IGNORED = -100
"""The label of a position that carries no loss."""

Messages = Sequence[Mapping[str, Any]]
Render = Callable[..., str]
"""(messages, tools, is_prompt=...) to a text; a prompt ends where the answer begins."""


class RowFault(Exception):  # noqa: N818  control flow, as RejectedRow is
    """A row that cannot be trained on or asked, without its text."""

    def __init__(self, code: RejectCode, detail: str, *, is_of_template: bool = False) -> None:
        """is_of_template: whether the template may be at fault, and every row with it."""
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.is_of_template = is_of_template


class Codec(Protocol):
    """A tokenizer as masks need it."""

    special_texts: Sequence[str]
    """Texts that become tokens with a meaning of their own, wherever they stand."""
    special_ids: frozenset[int]
    end_text: str
    """The end of sequence, empty where there is none."""

    def ids(self, texts: list[str]) -> list[list[int]]:
        """Return the tokens of texts, none put around them."""
        ...

    def text(self, ids: list[int], *, skips_special: bool) -> str:
        """Return the text of tokens."""
        ...


class Masked(NamedTuple):
    """A row as a model sees it."""

    input_ids: list[int]
    labels: list[int]
    """As long as `input_ids`; `IGNORED` where no loss is taken."""
    shows_reasoning: bool
    """Whether all that the assistant thought is in the text."""


@dataclass(frozen=True)
class _Span:
    start: int
    """Of the first message."""
    stop: int
    is_trained: bool


class Masks:
    """Makes tokens and masks of prepared rows."""

    def __init__(self, render: Render, codec: Codec) -> None:
        """Find the tokens that end an answer.

        Raises: TemplateError where the template renders not even a question and its answer.
        """
        self._render = render
        self._codec = codec
        self.end_ids = self._end_ids()

    def row(self, line: Mapping[str, Any]) -> Masked:
        """Return a prepared row with its mask.

        Raises: RowFault.
        """
        messages, tools = line["messages"], line.get("tools")
        self._check_texts(messages, tools)
        whole = self._rendered(messages, tools, is_prompt=False)
        self._check_tools(whole, messages, tools)
        shows_reasoning = all(
            message["reasoning_content"].strip() in whole
            for message in messages
            if "reasoning_content" in message
        )
        is_whole = line["loss"] == "all_tokens"
        spans = list(_spans(line))
        ids, places = self._placed(whole, spans, messages, tools)
        labels = list(ids) if is_whole else [IGNORED] * len(ids)
        for span, (start, stop) in zip(spans, places, strict=True):
            stop = self._end_of(ids, start, stop)
            labels[start:stop] = ids[start:stop] if span.is_trained else [IGNORED] * (stop - start)
            if span.is_trained:
                self._verify(ids, start, stop, messages[span.start : span.stop])
        return Masked(ids, labels, shows_reasoning)

    def completion(self, line: Mapping[str, Any]) -> Masked:
        """Return a row whose labels are those of its answer alone, for scoring a reference.

        Raises: RowFault.
        """
        messages = [
            {name: value for name, value in message.items() if name != "train"}
            for message in line["messages"]
        ]
        return self.row({**line, "messages": messages, "loss": "completion"})

    def prompt(self, line: Mapping[str, Any]) -> list[int]:
        """Return the tokens of a row up to where its answer begins.

        Raises: RowFault.
        """
        messages, tools = line["messages"][: line["completion_from"]], line.get("tools")
        self._check_texts(messages, tools)
        return self._codec.ids([self._rendered(messages, tools, is_prompt=True)])[0]

    def _rendered(self, messages: Messages, tools: Any, *, is_prompt: bool) -> str:
        try:
            return self._render(messages, tools, is_prompt=is_prompt)
        except TemplateError as error:
            raise RowFault(
                RejectCode.TEMPLATE_ERROR, str(error.message or ""), is_of_template=True
            ) from error

    def _check_texts(self, messages: Messages, tools: Any) -> None:
        """Refuse texts that would become tokens of the template's own, such as the end of a turn.

        Raises: RowFault with special_token_in_text.
        """
        for index, message in enumerate(messages):
            for text in _texts(message):
                self._check_text(text, f"messages/{index}")
        if tools:
            self._check_text(orjson.dumps(tools).decode(), "tools")

    def _check_text(self, text: str, path: str) -> None:
        found = next((token for token in self._codec.special_texts if token in text), None)
        if found is not None:
            raise RowFault(RejectCode.SPECIAL_TOKEN_IN_TEXT, f"{found} in {path}")
        if not text.isascii() and not self._codec.special_ids.isdisjoint(
            self._codec.ids([text])[0]
        ):
            raise RowFault(RejectCode.SPECIAL_TOKEN_IN_TEXT, path)

    def _check_tools(self, whole: str, messages: Messages, tools: Any) -> None:
        """Refuse rows whose tools or calls the template leaves out.

        Raises: RowFault with template_ignores_tools.
        """
        names = [str(tool["function"]["name"]) for tool in tools or ()]
        if tools and not all(name in whole for name in names):
            raise RowFault(RejectCode.TEMPLATE_IGNORES_TOOLS, "tools")
        if tools and self._try(messages, None) == whole:
            raise RowFault(RejectCode.TEMPLATE_IGNORES_TOOLS, "tools")
        calls = [call for message in messages for call in message.get("tool_calls", ())]
        if not calls:
            return
        bare = [
            {name: value for name, value in message.items() if name != "tool_calls"}
            for message in messages
        ]
        is_named = all(str(call["function"]["name"]) in whole for call in calls)
        if not is_named or self._try(bare, tools) == whole:
            raise RowFault(RejectCode.TEMPLATE_IGNORES_TOOLS, "tool_calls")

    def _try(self, messages: Messages, tools: Any) -> str | None:
        try:
            return self._render(messages, tools, is_prompt=False)
        except TemplateError:
            return None

    def _placed(
        self, whole: str, spans: Sequence[_Span], messages: Messages, tools: Any
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the tokens of a row, and where in them each span begins and ends.

        Raises: RowFault.
        """
        texts = [whole]
        for span in spans:
            texts.append(self._rendered(messages[: span.start], tools, is_prompt=True))
            texts.append(self._rendered(messages[: span.stop], tools, is_prompt=False))
        ids, *prefixes = self._codec.ids(texts)
        if all(ids[: len(prefix)] == prefix for prefix in prefixes):
            ends = [len(prefix) for prefix in prefixes]
        else:
            ids, ends = self._cut(whole, ids, texts[1:])
        return ids, list(zip(ends[::2], ends[1::2], strict=True))

    def _cut(
        self, whole: str, ids: list[int], prefixes: Sequence[str]
    ) -> tuple[list[int], list[int]]:
        """Return the tokens of a text that is cut where each prefix ends, and where that is.

        Raises: RowFault with answer_not_separable.
        """
        if not all(whole.startswith(prefix) for prefix in prefixes):
            raise RowFault(
                RejectCode.ANSWER_NOT_SEPARABLE,
                "the template renders a prompt differently once the answer follows",
                is_of_template=True,
            )
        cuts = sorted({0, len(whole), *map(len, prefixes)})
        first, *others = [whole[start:stop] for start, stop in pairwise(cuts)]
        guard = self._codec.end_text
        head, guarded, *rest = self._codec.ids([first, guard, *(guard + text for text in others)])
        parts = [head, *(part[len(guarded) :] for part in rest)]
        joined = [token for part in parts for token in part]
        texts = (self._codec.text(tokens, skips_special=False) for tokens in (joined, ids))
        is_guarded = all(part[: len(guarded)] == guarded for part in rest)
        if not is_guarded or len(set(texts)) > 1:
            raise RowFault(
                RejectCode.ANSWER_NOT_SEPARABLE, "tokens reach across the beginning of an answer"
            )
        ends = {0: 0}
        for cut, part in zip(cuts[1:], parts, strict=True):
            ends[cut] = max(ends.values()) + len(part)
        return joined, [ends[len(prefix)] for prefix in prefixes]

    def _end_of(self, ids: list[int], start: int, stop: int) -> int:
        """Return where a span ends: after its last end token, so that trailing line breaks carry
        no loss.
        """
        ends = [index for index in range(start, stop) if ids[index] in self.end_ids]
        return ends[-1] + 1 if ends else stop

    def _verify(self, ids: list[int], start: int, stop: int, messages: Messages) -> None:
        """Check that a trained span decodes to its answer.

        Raises: RowFault with answer_not_separable.
        """
        try:
            self._compare(self._codec.text(ids[start:stop], skips_special=True), messages)
        except RowFault:
            # Some decoders drop blanks of the first token that they are given.
            before, until = (
                self._codec.text(ids[:place], skips_special=True) for place in (start, stop)
            )
            if not until.startswith(before):
                raise
            self._compare(until[len(before) :], messages)

    def _compare(self, decoded: str, messages: Messages) -> None:
        found = decoded.strip()
        contents = [str(message["content"]).strip() for message in messages]
        is_plain = len(messages) == 1 and not messages[0].keys() & {
            "tool_calls",
            "reasoning_content",
        }
        if is_plain and found == contents[0]:
            return
        if is_plain and contents[0] and found.startswith(contents[0]):
            raise RowFault(
                RejectCode.ANSWER_NOT_SEPARABLE,
                "what ends an answer is no token of this tokenizer",
                is_of_template=True,
            )
        if is_plain or any(text not in found for text in contents):
            raise RowFault(
                RejectCode.ANSWER_NOT_SEPARABLE,
                "its trained span does not decode to the answer",
                is_of_template=True,
            )

    def _end_ids(self) -> frozenset[int]:
        """Return the tokens that end an answer: end of sequence, and what the template puts after
        an assistant's turn.
        """
        asked = [{"role": "user", "content": "a"}]
        answered = [*asked, {"role": "assistant", "content": "b"}]
        prompt = self._render(asked, None, is_prompt=True)
        whole = self._render(answered, None, is_prompt=False)
        end_text = self._codec.end_text
        ends = set(self._codec.ids([end_text])[0]) if end_text else set()
        if whole.startswith(prompt):
            tail = self._codec.ids([whole[len(prompt) :]])[0]
            ends |= {token for token in tail if token in self._codec.special_ids}
        return frozenset(ends)


def loss_of(line: Mapping[str, Any], completion_only: object, assistant_only: object) -> str:
    """Return where a row takes loss, as the recipe asks instead of the task's own."""
    if assistant_only is True:
        return "assistant_turns"
    if completion_only is True and line["loss"] == "assistant_turns":
        return "completion"
    return "all_tokens" if completion_only is False else str(line["loss"])


def _spans(line: Mapping[str, Any]) -> Iterator[_Span]:
    """Yield the message ranges that carry loss, and those that carry none among all tokens."""
    messages, loss = line["messages"], line["loss"]
    if loss == "completion":
        start = line["completion_from"]
        if all(message.get("train", True) for message in messages[start:]):
            yield _Span(start, len(messages), is_trained=True)
        return
    for index, message in enumerate(messages):
        is_trained = bool(message.get("train", True))
        if message["role"] == "assistant" and is_trained is (loss == "assistant_turns"):
            yield _Span(index, index + 1, is_trained)


def _texts(message: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a turn says, in the forms that a template may write it in."""
    yield str(message["content"])
    yield str(message.get("reasoning_content", ""))
    if "tool_calls" in message:
        yield orjson.dumps(message["tool_calls"]).decode()
    for name in ("name", "tool_call_id"):
        yield str(message.get(name, ""))
