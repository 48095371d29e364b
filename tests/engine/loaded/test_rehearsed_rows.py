"""What the plan foresees of odd rows is what the worker makes of them, to the token."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brewslm.contracts import Job
from brewslm.engine import run as training
from brewslm.engine.base import Loading, load_tokenizer
from brewslm.engine.tokens import Renderer
from brewslm.rows.masks import IGNORED
from brewslm.rows.rehearsal import rehearsing
from brewslm.rows.templates import TEMPLATES
from tests.engine.loaded.conftest import NANO, Listener

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
_TOKENS = {"bos_token": "<s>", "eos_token": "<|end|>", "unk_token": "<unk>", "pad_token": "<pad>"}
_ANSWERS = [
    "\n\nIn hall B",
    "In hall B\n",
    "  two  blanks ",
    "naïve café 漢字 \U0001f600",
    "It ends <|end|> here",
    "</s>",
    "a\tb\r\nc",
    "word " * 90,
    "<s>struck</s>",
]


def _lines() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for number, answer in enumerate(_ANSWERS):
        turns = [
            {"role": "user", "content": f"Where is pump {number}?"},
            {"role": "assistant", "content": answer},
            {"role": "user", "content": "And now?"},
            {"role": "assistant", "content": f"Still there, {number}.", "train": bool(number % 2)},
        ]
        made.append(
            {"row_id": f"r{number}", "weight": 1, "messages": turns, "completion_from": 3}
            | {"loss": "assistant_turns"}
        )
    tool = {"type": "function", "function": {"name": "find", "parameters": {}}}
    made.append({**made[1], "row_id": "tools", "tools": [tool]})
    made.append({**made[1], "row_id": "roles"})
    made[-1]["messages"] = [{"role": "narrator", "content": "x"}, *made[1]["messages"]]
    return made


@pytest.mark.parametrize("is_trusted", [True, False])
@pytest.mark.parametrize("template", [None, "zephyr"])
def test_plan_and_worker_agree_on_every_row(template: str | None, is_trusted: bool) -> None:
    loading = Loading()
    text = (NANO / "chat_template.jinja").read_text()
    if template is not None:
        loading = Loading(chat_template=template, use_tokenizer_chat_template=False)
        text = TEMPLATES[template]
    setup = {
        "template": text,
        "tokens": _TOKENS,
        "tokenizer": str(NANO / "tokenizer.json"),
        "completion_only_loss": "auto",
        "assistant_only_loss": "auto",
        "max_seq_length": 128,
    }
    lines = _lines()
    with rehearsing(setup, is_trusted=is_trusted) as rehearse:
        foreseen = rehearse([json.dumps(line).encode() for line in lines], is_evaluated=False)
    made = Renderer(load_tokenizer(NANO, loading)).tokenize(lines, 128)
    codes = {row_id: code for code, row_ids in made.left_out.items() for row_id in row_ids}
    tokens = {row.row_id: len(row.input_ids) for row in made.rows}
    assert {line["row_id"]: row.code for line, row in zip(lines, foreseen, strict=True)} == {
        line["row_id"]: codes.get(line["row_id"], "") for line in lines
    }
    for line, row in zip(lines, foreseen, strict=True):
        if not row.code:
            assert tokens[line["row_id"]] == row.tokens
    assert {"r0", "r1", "r2", "r3"} <= tokens.keys()
    assert codes["r4"] == "special_token_in_text"
    assert codes["tools"] == "template_ignores_tools"


def test_turns_of_a_run_that_are_not_to_be_trained_carry_no_loss(renderer: Renderer) -> None:
    (row,) = renderer.tokenize([_lines()[2]], 1000).rows
    trained = [token for token, label in zip(row.input_ids, row.labels, strict=True) if label >= 0]
    assert renderer.tokenizer.decode(trained) == "  two  blanks <|end|>"
    assert set(row.labels) > {IGNORED}


def test_run_goes_on_without_its_faulty_rows(
    training_job: Callable[..., Job], prepared: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "prepared"
    folder.mkdir()
    lines = [json.loads(line) for line in (prepared / "train.jsonl").read_text().splitlines()]
    lines[0]["messages"][1]["content"] = "stop <|end|>"
    lines[1]["messages"][1]["content"] = "\n\nstop"
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "val.jsonl").write_text((prepared / "val.jsonl").read_text())
    job = training_job()
    job = job.model_copy(update={"inputs": job.inputs | {"prepared": str(folder)}})
    values = training.run(job, Listener()).values
    assert values["rows_left_out"] == {"special_token_in_text": 1}
    assert values["rows"] == 39
