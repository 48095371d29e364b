"""`brewslm events --clusters`: what failed how often, over the whole history."""

from contextlib import closing

import pytest

from brewslm.state.failure_clusters import clusters_of
from tests.apply.bench import Bench
from tests.cli.conftest import Run


def test_failures_that_look_the_same_are_one_cluster(bench: Bench, run: Run) -> None:
    bench.deaths = {0: "training_oom"}
    bench.apply()
    bench.apply()
    with closing(bench.store().read()) as reader:
        (cluster,) = reader.failure_clusters()
        failures = reader.run_events(severity="error")
        assert [cluster] == clusters_of(reader.run_events())
    assert (cluster.stage, cluster.reason_code) == ("training", "training_oom")
    assert cluster.failure_count == len(failures) == 2
    assert cluster.exemplar_event_ids == [event.event_id for event in failures]
    assert cluster.exemplar_run_ids == ["a1", "a1"]
    shown = run("events", "--clusters")
    assert "training_oom" in shown.out
    assert shown.out.split()[0] == "2"


@pytest.mark.parametrize("flag", [("--json",), ()])
def test_a_project_without_failures_has_no_clusters(
    flag: tuple[str, ...], applied: Bench, run: Run
) -> None:
    answer = run("events", "--clusters", *flag)
    assert (answer.code, answer.out) == (0, "" if flag else "No failure yet.\n")
    assert applied.promoted() is not None
