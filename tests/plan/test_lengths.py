"""Row lengths come from what the prepared manifest counted."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.plan.lengths import max_tokens, mean_tokens
from brewslm.rows.prepared import Lengths
from brewslm.rows.record import Split
from tests.apply.bench import Bench


def _counted(tokens: list[int]) -> dict[str, Any]:
    """Return the part of a prepared manifest that counts rows of so many words each."""
    lengths = Lengths()
    lengths.add(Split.TRAIN, [2 * amount for amount in tokens], tokens)
    return {"lengths": lengths.to_json("sha256:0", is_measured=True)}


@given(tokens=st.lists(st.integers(1, 600), min_size=1, max_size=60))
def test_mean_is_right_to_half_a_bin(tokens: list[int]) -> None:
    prepared = _counted(tokens)
    half_bin = (max(tokens) + 1) / 32
    mean = sum(tokens) / len(tokens)
    assert mean_tokens(prepared, "train") == pytest.approx(mean, abs=half_bin + 1e-9)
    assert max_tokens(prepared, "train") == max(tokens)


def test_rows_that_nobody_counted_are_assumed() -> None:
    assert 0 < mean_tokens({}, "train") <= max_tokens({}, "train")


def test_rows_over_the_limit_are_told_with_their_lengths(bench: Bench) -> None:
    path = bench.root / "data" / "rows.jsonl"
    rows = [json.dumps({"text": f"{number} lamps " * 200, "label": "late"}) for number in range(9)]
    path.write_text(path.read_text() + "\n".join(rows) + "\n")
    (finding,) = [item for item in bench.built().plan.findings if item["code"] == "ROWS_TOO_LONG"]
    assert finding["severity"] == "warning"
    assert "longer than 256 tokens" in finding["message"]


@pytest.mark.case("ROW-09")
def test_rows_that_are_all_over_the_limit_are_refused_before_training(bench: Bench) -> None:
    path = bench.root / "data" / "rows.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    long = (json.dumps({**row, "text": f"{row['text']} " * 80}) for row in rows)
    path.write_text("".join(f"{line}\n" for line in long))
    plan = bench.built().plan
    (finding,) = [item for item in plan.findings if item["severity"] == "error"]
    assert finding["code"] == "ROWS_TOO_LONG"
    assert "all rows are longer than 256 tokens" in finding["message"]
    assert not plan.is_applyable


def test_rows_below_the_limit_are_not_mentioned(bench: Bench) -> None:
    assert "ROWS_TOO_LONG" not in [item["code"] for item in bench.built().plan.findings]
