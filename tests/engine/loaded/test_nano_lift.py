"""What a minute of LoRA does to the built-in base model on a task that its corpus leaves out."""

import json
import random
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

import brewslm

NANO = Path(brewslm.__path__[0]) / "builtin" / "nano"
EPOCHS: Final = 6
BATCH_ROWS: Final = 16
LEARNING_RATE: Final = 2e-3
IGNORED: Final = -100

Messages = list[dict[str, str]]

# label: (wordings of the training rows, other wordings of the held-out rows)
INTENTS: Final = {
    "set_alarm": (
        ["wake me at {n}", "set an alarm for {n}", "alarm at {n} please", "get me up at {n}"],
        ["I need an alarm for {n} tomorrow", "wake me up at {n} on Monday"],
    ),
    "play_music": (
        ["play some jazz", "put on my playlist {n}", "start the radio", "a song by Anna please"],
        ["play music by Emma", "put on some music for {n} minutes"],
    ),
    "report_leak": (
        ["the pipe leaks", "send a plumber at {n}", "no hot water today", "the sink is blocked"],
        ["the toilet leaks on floor {n}", "there is water under the sink"],
    ),
    "find_parcel": (
        ["where is parcel {n}", "my package is late", "track order {n}", "the delivery is overdue"],
        ["when will order {n} be delivered", "my parcel did not come"],
    ),
    "send_money": (
        ["send {n} dollars to Ben", "transfer {n} to savings", "pay Clara {n}", "wire {n} to Leo"],
        ["please transfer {n} dollars to Omar", "move {n} to my savings account"],
    ),
    "say_weather": (
        ["will it rain at {n}", "what is the forecast", "is it cold outside", "how hot will it be"],
        ["is it going to rain tomorrow", "what is the weather at {n}"],
    ),
}


def row(rng: random.Random, *, held_out: bool) -> tuple[Messages, str]:
    label = rng.choice(sorted(INTENTS))
    text = rng.choice(INTENTS[label][held_out]).format(n=rng.randint(1, 99))
    prompt = [{"role": "system", "content": "Route it."}, {"role": "user", "content": text}]
    return prompt, json.dumps({"route": label})


def training_row(tokenizer: Any, prompt: Messages, answer: str) -> tuple[list[int], list[int]]:
    """Token ids and labels of a conversation; only the answer and its end are learned."""
    opened = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)
    messages = [*prompt, {"role": "assistant", "content": answer}]
    token_ids = tokenizer.apply_chat_template(messages, return_dict=False)
    return token_ids, [IGNORED] * len(opened) + token_ids[len(opened) :]


def tune(model: Any, tokenizer: Any, rows: list[tuple[Messages, str]], rng: random.Random) -> None:
    encoded = [training_row(tokenizer, *each) for each in rows]
    steps = EPOCHS * -(-len(encoded) // BATCH_ROWS)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, total_iters=steps)
    for _ in range(EPOCHS):
        rng.shuffle(encoded)
        for start in range(0, len(encoded), BATCH_ROWS):
            batch = encoded[start : start + BATCH_ROWS]
            width = max(len(token_ids) for token_ids, _ in batch)
            pad = [tokenizer.pad_token_id]
            inputs = torch.tensor([ids + pad * (width - len(ids)) for ids, _ in batch])
            labels = torch.tensor([ids + [IGNORED] * (width - len(ids)) for _, ids in batch])
            model(input_ids=inputs, labels=labels).loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()


def accuracy_ratio(model: Any, tokenizer: Any, rows: list[tuple[Messages, str]]) -> float:
    inputs = tokenizer.apply_chat_template(
        [prompt for prompt, _ in rows],
        add_generation_prompt=True,
        padding=True,
        return_tensors="pt",
        return_dict=True,
    )
    model.eval()
    with torch.no_grad():
        written = model.generate(**inputs, max_new_tokens=24, do_sample=False)
    answers = tokenizer.batch_decode(
        written[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
    )
    right = [answer == wanted for answer, (_, wanted) in zip(answers, rows, strict=True)]
    return sum(right) / len(right)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_a_minute_of_lora_teaches_a_task_that_the_corpus_leaves_out() -> None:
    tokenizer = AutoTokenizer.from_pretrained(NANO, local_files_only=True, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(NANO, local_files_only=True, dtype=torch.float32)
    rng = random.Random(0)  # noqa: S311 - rows of a test
    training_rows = [row(rng, held_out=False) for _ in range(200)]
    held_out_rows = [row(rng, held_out=True) for _ in range(60)]
    before = accuracy_ratio(model, tokenizer, held_out_rows)

    torch.manual_seed(0)
    tuned = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"))
    tune(tuned, tokenizer, training_rows, rng)

    assert before <= 1 / len(INTENTS)
    assert accuracy_ratio(tuned, tokenizer, held_out_rows) > 0.7
