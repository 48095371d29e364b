"""The plan shows how often an epoch sees the rows of each source."""

import pytest

from tests.apply.bench import Bench
from tests.cli.conftest import Run


@pytest.mark.parametrize("weight", ["2.5", "1"])
def test_weighted_sources_are_shown_with_their_share(bench: Bench, run: Run, weight: str) -> None:
    bench.edit("file_path: data/rows.jsonl}", f"file_path: data/rows.jsonl, weight: {weight}}}")
    answer = run("plan", "--json")
    (dataset,) = [item for item in answer.document["actions"] if item["address"] == "dataset"]
    mix = dataset["data"]["mix"]
    shown = run("plan").out
    if weight == "1":
        assert (mix, "mix  " in shown) == (None, False)
        return
    rows, effective = mix["rows"]["rows"], mix["rows"]["effective_rows"]
    assert 2 * rows < effective < 3 * rows
    assert f"mix       rows: {rows} x 2.5 = {effective} rows, 100.0 %" in shown
