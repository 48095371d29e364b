"""Conversations as rows of tasks with typed answers: the turns are the prompt as they are."""

import json
from typing import Any

import pytest

from brewslm.contracts import Result
from tests.apply.bench import Bench
from tests.cli.conftest import Doubles, Run

_ANSWERS = {
    "classification": ("late", "accuracy", "{allowed_labels: [late, torn]}"),
    "structured_extraction": ('{"why": "late"}', "field_f1", "{}"),
    "chat_sft": ("It is late.", "f1", "{}"),
}
_SHAPES = {
    "chat_messages_passthrough": ("messages", "role", "content", "user", "assistant"),
    "sharegpt_to_chat": ("conversations", "from", "value", "human", "gpt"),
}


def _asked(number: int) -> str:
    return f"Order {number * 7919} of shop {number * 31}: what is wrong?"


def _row(mapper: str, number: int, answer: str) -> dict[str, Any]:
    column, role, content, user, assistant = _SHAPES[mapper]
    asks, says = {role: user, content: _asked(number)}, {role: assistant, content: answer}
    return {column: [asks, says]}


@pytest.mark.parametrize("mapper", _SHAPES)
@pytest.mark.parametrize("task", _ANSWERS)
def test_turns_are_the_prompt_whatever_the_task(
    bench: Bench,
    run: Run,
    doubles: Doubles,
    monkeypatch: pytest.MonkeyPatch,
    mapper: str,
    task: str,
) -> None:
    answer, metric, contract = _ANSWERS[task]
    for name, numbers in (("rows", range(60)), ("gold", range(100, 130))):
        lines = [json.dumps(_row(mapper, number, answer)) for number in numbers]
        (bench.root / "data" / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    bench.edit(
        "  dataset: {",
        f"  adapters: [{{name: talk, base_adapter_id: {mapper}, task_profile: {task}}}]\n"
        f"  dataset: {{task_profile: {task}, contract: {contract}, ",
    )
    bench.edit("file_path: data/rows.jsonl", "adapter: talk, file_path: data/rows.jsonl")
    bench.edit("file_path: data/gold.jsonl", "adapter: talk, file_path: data/gold.jsonl")
    bench.edit("metric_id: accuracy", f"metric_id: {metric}")
    assert run("plan").code == 0
    run("apply", "--auto-approve")
    assert "brewslm.engine.run:run" in doubles.doors
    artifacts, output = bench.artifacts(), bench.records()["dataset"].outputs["prepared"]
    file = artifacts.listing(output.digest)["gold_test.jsonl"]
    line = json.loads(artifacts.read_bytes(file.digest).splitlines()[0])
    asks, says = line["messages"]
    assert (asks["role"], says["role"]) == ("user", "assistant")
    assert asks["content"] in {_asked(number) for number in range(100, 130)}
    assert says["content"] in (answer, answer.replace(" ", ""))
    monkeypatch.setattr("brewslm.cli.try_model.ProcessWorker", doubles.start)
    doubles.answer = lambda _job, _folder: Result(values={"text": "late"})
    assert run("try", _asked(5), "--candidate").out == "late\n"
    assert doubles.started[-1].jobs[-1].options["messages"] == [
        {"role": "user", "content": _asked(5)}
    ]
