"""An example as chat turns: the one place where prompts of training and evaluation come from."""

from typing import Any

from brewslm.contracts import Composition
from brewslm.tasks.task import TASKS


def compose(
    profile: str,
    inputs: dict[str, Any],
    reference: dict[str, Any],
    contract: dict[str, Any],
    system_prompt: str,
) -> Composition:
    """Return the turns of a row: system prompt where it has none, prompt, and the answer last.

    Raises: UnknownNameError for a profile that does not exist.
    """
    task = TASKS.load(profile)
    prompt = task.prompt(inputs, contract)
    if system_prompt and (not prompt or prompt[0]["role"] != "system"):
        prompt = [{"role": "system", "content": system_prompt}, *prompt]
    answer = {"role": "assistant", "content": task.answer(reference, contract)}
    return Composition([*prompt, answer], len(prompt), task.loss)
