"""Turn a text that somebody typed into the prompt that a task profile was trained on."""

from collections.abc import Mapping
from typing import Any

from brewslm.tasks.task import TASKS, Message, prompt_of

_INPUT = {
    "classification": "text",
    "structured_extraction": "text",
    "qa": "question",
    "instruction_sft": "instruction",
}


def asked(
    profile: str,
    text: str,
    contract: Mapping[str, Any],
    system_prompt: str,
    *,
    is_of_turns: bool,
) -> list[Message]:
    """Return the turns up to where the answer begins.

    is_of_turns: whether rows of the task were conversations, so that the text is a turn as it is.

    Raises: UnknownNameError for a profile that does not exist.
    """
    task = TASKS.load(profile)
    name = None if is_of_turns else _INPUT.get(profile)
    inputs: dict[str, Any] = (
        {name: text} if name else {"messages": [{"role": "user", "content": text}]}
    )
    prompt = prompt_of(task, inputs, contract)
    if system_prompt and (not prompt or prompt[0]["role"] != "system"):
        prompt = [{"role": "system", "content": system_prompt}, *prompt]
    return prompt
