"""A project without a row to evaluate on is refused before anything is trained."""

import pytest

from tests.apply.bench import Bench
from tests.cli.conftest import Doubles, Run

_GOLD = "    - {name: gold, type: gold_test, file_path: data/gold.jsonl}\n"
_SPLIT = "dataset: {split: {train: 0.9, validation: 0.1, test: 0.0}, "


@pytest.mark.parametrize("has_gates", [True, False])
def test_nothing_is_trained_that_no_row_can_decide(
    bench: Bench, run: Run, doubles: Doubles, has_gates: bool
) -> None:
    bench.edit(_GOLD, "")
    bench.edit("dataset: {", _SPLIT)
    if not has_gates:
        text = (bench.root / "brewslm.yaml").read_text()
        (bench.root / "brewslm.yaml").write_text(text.partition("  eval_pack:")[0])
    for words in (("plan",), ("apply", "--auto-approve")):
        answer = run(*words)
        assert (answer.code, "error[EVAL_SET_EMPTY]" in answer.out + answer.err) == (1, True)
    assert doubles.started == []


def test_the_remedies_remove_the_finding(bench: Bench, run: Run) -> None:
    bench.edit(_GOLD, "")
    bench.edit("dataset: {", _SPLIT.replace("0.9", "0.8").replace("test: 0.0", "test: 0.1"))
    assert "EVAL_SET_EMPTY" not in run("plan").out
