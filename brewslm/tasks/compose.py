"""An example as chat turns: the one place where prompts of training and evaluation come from."""

from typing import Any

from brewslm.contracts import Composition
from brewslm.tasks.task import TASKS, prompt_of

_BESIDE_ANSWER = ("train", "tool_calls", "reasoning_content")


def compose(
    profile: str,
    inputs: dict[str, Any],
    reference: dict[str, Any],
    contract: dict[str, Any],
    system_prompt: str,
) -> Composition:
    """Return the turns of a row: system prompt where it has none, prompt, and the answer last.

    A row's own `system` and `history` come before the prompt; what its reference holds beside the
    answer (tool calls, reasoning, whether it is trained) is part of the last turn.

    Raises: UnknownNameError for a profile that does not exist.
    """
    task = TASKS.load(profile)
    prompt = [*inputs.get("history", ()), *prompt_of(task, inputs, contract)]
    system = inputs.get("system", system_prompt)
    if system and (not prompt or prompt[0]["role"] != "system"):
        prompt = [{"role": "system", "content": system}, *prompt]
    beside = {name: reference[name] for name in _BESIDE_ANSWER if name in reference}
    answer = {"role": "assistant", "content": task.answer(reference, contract), **beside}
    return Composition([*prompt, answer], len(prompt), task.loss)
