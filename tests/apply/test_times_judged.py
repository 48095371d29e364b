"""How often rows were used to judge a candidate counts candidates, not evaluations."""

import json
from pathlib import Path

from tests.apply.bench import Bench


def judged(bench: Bench) -> int:
    bench.apply()
    verdict = bench.records()["eval_pack"].outputs["verdict"]
    return int(json.loads(bench.artifacts().read_bytes(verdict.digest))["looks"])


def test_candidates_are_counted_on_the_same_rows_only(tmp_path: Path) -> None:
    bench = Bench.make(tmp_path / "project")
    assert judged(bench) == 1
    bench.edit("threshold: 0.8", "threshold: 0.85")
    assert judged(bench) == 1  # the same candidate decided again
    bench.edit("learning_rate: 2.0e-3", "learning_rate: 3.0e-3")
    assert judged(bench) == 2
    bench.edit("learning_rate: 3.0e-3", "learning_rate: 4.0e-3")
    bench.deaths = {1: "worker_killed"}
    bench.apply()  # an attempt that judged nothing
    bench.deaths = {}
    bench.edit("learning_rate: 4.0e-3", "learning_rate: 5.0e-3")
    assert judged(bench) == 3
    bench.write_rows("gold", range(300, 330))
    assert judged(bench) == 1  # other rows, that no candidate was chosen on
