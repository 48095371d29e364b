"""`eval_types` chooses the metrics that are reported; those of gates are always computed."""

import json
from pathlib import Path
from typing import Any

from brewslm.errors import ExitCode
from tests.apply.bench import Bench


def reported(bench: Bench) -> dict[str, Any]:
    metrics = bench.records()["eval_pack"].outputs["metrics"]
    document = json.loads(bench.artifacts().read_bytes(metrics.digest))
    found: dict[str, Any] = document["sets"]["gold_test"]["roles"]["candidate"]["metrics"]
    return found


def test_only_the_chosen_metrics_and_those_of_gates_are_reported(tmp_path: Path) -> None:
    bench = Bench.make(tmp_path / "project")
    assert bench.apply().exit_code is ExitCode.DONE
    everything = reported(bench)
    bench.edit("    gates:", "    eval_types: [macro_f1]\n    gates:")
    assert bench.apply().exit_code is ExitCode.DONE
    assert bench.doors() == ["score"]
    assert set(reported(bench)) == {"accuracy", "macro_f1"} < set(everything)
    assert reported(bench)["accuracy"]["value"] == everything["accuracy"]["value"]
    bench.edit("    gates:", "    gates:\n      - {metric_id: unparseable_rate, operator: lte, "
               "threshold: 0.5, required: false}")  # fmt: skip
    assert bench.apply().exit_code is ExitCode.DONE
    assert set(reported(bench)) == {"accuracy", "macro_f1", "unparseable_rate"}
    bench.edit("eval_types: [macro_f1]", "eval_types: []")
    assert bench.apply().exit_code is ExitCode.DONE
    assert set(reported(bench)) == set(everything)
