"""Answering prompts in batches so that each text is the one that the prompt alone would have got.

Rows are sorted by length, longest first, padded on the left, and leave the batch when they are
finished. When memory runs out the batch is halved and the work goes on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from brewslm.engine.out_of_memory import is_out_of_memory


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; temperature 0 is greedy."""

    max_new_tokens: int
    end_ids: frozenset[int]
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """A generated text and why it ended: stop, length or error."""

    text: str
    token_ids: tuple[int, ...]
    finish: str
    error_code: str = ""


class Answerer:
    """A model that answers tokenized prompts."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase, sampling: Sampling) -> None:
        """model: in evaluation mode, with or without an adapter."""
        self._model = model
        self._tokenizer = tokenizer
        self._sampling = sampling
        self._device = next(model.parameters()).device
        self._context = int(getattr(model.config, "max_position_embeddings", 1 << 30))

    def answer(
        self,
        prompts: Sequence[list[int]],
        batch_size: int,
        on_progress: Callable[[int, int], None],
        is_stop_requested: Callable[[], bool] = lambda: False,
    ) -> list[Answer]:
        """Return the answer to each prompt, in their order.

        on_progress: called with the prompts and the new tokens finished so far. Raises:
        InterruptedError when asked to stop between batches.
        """
        answers: dict[int, Answer] = {}
        order = []
        for index, prompt in enumerate(prompts):
            if len(prompt) + self._sampling.max_new_tokens > self._context:
                answers[index] = Answer("", (), "error", "prompt_too_long")
            else:
                order.append(index)
        order.sort(key=lambda index: (-len(prompts[index]), index))
        tokens = 0
        while order:
            if is_stop_requested():
                raise InterruptedError
            batch = order[:batch_size]
            try:
                made = self._batch([prompts[index] for index in batch])
            except (RuntimeError, MemoryError) as error:
                if len(batch) == 1 or not is_out_of_memory(error):
                    raise
                batch_size = len(batch) // 2
                continue
            answers.update(zip(batch, made, strict=True))
            order = order[len(batch) :]
            tokens += sum(len(answer.token_ids) for answer in made)
            on_progress(len(answers), tokens)
        return [answers[index] for index in range(len(prompts))]

    @torch.inference_mode()
    def _batch(self, prompts: list[list[int]]) -> list[Answer]:
        pad = self._tokenizer.pad_token_id
        longest = max(map(len, prompts))
        ids = torch.tensor([[pad] * (longest - len(p)) + p for p in prompts], device=self._device)
        mask = torch.tensor(
            [[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=self._device
        )
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        chance = torch.Generator().manual_seed(self._sampling.seed)
        cache: Any = None
        made: list[list[int]] = [[] for _ in prompts]
        finish = ["length"] * len(prompts)
        alive = list(range(len(prompts)))
        for _ in range(self._sampling.max_new_tokens):
            out = self._model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache = out.past_key_values
            chosen = self._choose(out.logits[:, -1].float(), chance)
            stays = []
            for at, row in enumerate(alive):
                token = int(chosen[at])
                if token in self._sampling.end_ids:
                    finish[row] = "stop"
                    continue
                made[row].append(token)
                if self._is_stopped(made[row]):
                    finish[row] = "stop"
                    continue
                stays.append(at)
            if not stays:
                break
            if len(stays) < len(alive):
                kept = torch.tensor(stays, device=self._device)
                cache.batch_select_indices(kept)
                mask, positions, chosen = mask[kept], positions[kept], chosen[kept.cpu()]
                alive = [alive[at] for at in stays]
            ids = chosen.to(self._device).unsqueeze(-1)
            mask = torch.cat([mask, mask.new_ones((len(alive), 1))], dim=-1)
            positions = positions[:, -1:] + 1
        return [
            Answer(self._text(tokens), tuple(tokens), why)
            for tokens, why in zip(made, finish, strict=True)
        ]

    def _choose(self, logits: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
        """Return the next token of each row, on the CPU."""
        if self._sampling.temperature == 0:
            return logits.argmax(-1).cpu()
        shares = torch.softmax(logits.cpu().double() / self._sampling.temperature, dim=-1)
        ordered, tokens = shares.sort(dim=-1, descending=True, stable=True)
        is_outside = ordered.cumsum(-1) - ordered >= self._sampling.top_p
        ordered = ordered.masked_fill(is_outside, 0.0)
        drawn = torch.multinomial(ordered, 1, generator=chance)
        return tokens.gather(-1, drawn).squeeze(-1)

    def _is_stopped(self, tokens: list[int]) -> bool:
        if not self._sampling.stop:
            return False
        text = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return any(stop in text for stop in self._sampling.stop)

    def _text(self, tokens: list[int]) -> str:
        text = str(
            self._tokenizer.decode(
                tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )
        ends = [text.index(stop) for stop in self._sampling.stop if stop in text]
        return text[: min(ends)] if ends else text
