"""The door of `brewslm try`: one answer to one conversation."""

from pathlib import Path

from brewslm.contracts import Job, Reporter, Result
from brewslm.engine.answers import Answerer, Sampling
from brewslm.engine.base import Loading
from brewslm.engine.models import answering_model, base_model
from brewslm.engine.tokens import Renderer
from brewslm.errors import WorkerError
from brewslm.rows.masks import RowFault


def run(job: Job, report: Reporter) -> Result:
    """Answer `options.messages`; values hold `text`, `new_tokens` and `finish`.

    Raises: WorkerError with prompt_too_long when the text does not fit the model's context.
    """
    options = job.options
    loading = Loading.of(options["loading"], options.get("host", {}))
    model, tokenizer = base_model(Path(job.inputs["model"]), loading)
    renderer = Renderer(tokenizer)
    sampling = Sampling(int(options["max_new_tokens"]), renderer.end_ids)
    adapter = job.inputs.get("lora_adapter")
    prompt = [_prompt(renderer, options["messages"])]
    with answering_model(model, Path(adapter) if adapter else None) as answering:
        made = Answerer(answering, tokenizer, sampling).answer(
            prompt, 1, lambda rows, _tokens: report.progress("rows", rows, 1)
        )[0]
    if made.error_code:
        raise WorkerError(
            "the text does not fit the model's context",
            code="prompt_too_long",
            found=f"{len(prompt[0])} tokens and {sampling.max_new_tokens} for the answer",
            expected=f"at most {model.config.max_position_embeddings}",
            remedy="shorten the text, or lower --max-new-tokens",
        )
    return Result(
        values={"text": made.text, "new_tokens": len(made.token_ids), "finish": made.finish}
    )


def _prompt(renderer: Renderer, messages: list[dict[str, str]]) -> list[int]:
    """Return the tokens of a conversation.

    Raises: WorkerError with the code of what is wrong with it.
    """
    try:
        return renderer.prompt({"messages": messages, "completion_from": len(messages)})
    except RowFault as fault:
        raise WorkerError(
            "this conversation cannot be put before the model",
            code=str(fault.code),
            found=fault.detail,
            expected="turns that the chat template renders, without its own special tokens",
            remedy="change the text",
        ) from fault
