"""The scoring door and the verdicts over what it stores."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import scipy.stats

from brewslm.contracts import Job
from brewslm.engine.bootstrap import bca
from brewslm.engine.score import run
from brewslm.errors import WorkerError
from brewslm.tasks.compose import compose
from brewslm.tasks.deciding import decide
from brewslm.tasks.gate import Gate, Operator
from brewslm.tasks.note import decision_note, failure_clusters, note_text
from brewslm.tasks.statistics import bca_levels

LABELS = ["fault", "fine"]
CONTRACT = {"allowed_labels": LABELS, "scoring_mode": None, "json_schema": None}
Outputs = Callable[[int, str], str]


class Silent:
    """A reporter that nobody listens to."""

    def progress(
        self,
        unit: str,
        done: int,
        total: int | None,
        metrics: Mapping[str, float | None] | None = None,
    ) -> None:
        """Say nothing."""

    def log(self, text: str) -> None:
        """Say nothing."""

    def checkpoint(self, step: int, path: str, superseded: Any = ()) -> None:
        """Say nothing."""

    def warn(self, reason_code: str, text: str, facts: Any) -> None:
        """Take it and say nothing."""

    def is_stop_requested(self) -> bool:
        """Go on."""
        return False


def right_until(k: int) -> Outputs:
    return lambda at, gold: gold if at < k else "unclear"


def scored(
    folder: Path,
    outputs: Mapping[str, Outputs],
    n: int = 50,
    broken: int = 0,
    failed: Collection[tuple[str, int]] = (),
) -> dict[str, Any]:
    """Score made-up predictions of some roles on n rows; return metrics.json.

    broken: rows at the beginning that ended in an error for every role; failed: roles and rows
    that did.
    """
    rows, index = [], []
    for at in range(n):
        gold = LABELS[at % 2]
        inputs = {"text": f"row {at}"}
        made = compose("classification", inputs, {"label": gold}, CONTRACT, "")
        row_id = f"{at:04d}"
        rows.append(
            {
                "row_id": row_id,
                "messages": made.messages,
                "completion_from": made.completion_from,
                "inputs": inputs,
                "reference": {"label": gold},
                "tags": {"site": "north" if at < n // 2 else "south"},
            }
        )
        index.append({"row_id": row_id, "source": "gold"})
    prepared = folder / "prepared"
    prepared.mkdir(parents=True)
    write_lines(prepared / "gold_test.jsonl", rows)
    write_lines(prepared / "index.jsonl", index)
    inputs = {"prepared": str(prepared)}
    for role, output in outputs.items():
        path = folder / f"{role}.jsonl"
        lines = [
            {
                "row_id": f"{at:04d}",
                "epoch": 0,
                "prompt_digest": f"p{at}",
                "prompt_tokens": at,
                "output": output(at, LABELS[at % 2]),
                "new_tokens": 2,
                "finish": "error" if at < broken or (role, at) in failed else "stop",
                "nll_sum": 2.0 if role == "baseline" else 1.0,
                "nll_tokens": 2,
            }
            for at in range(n)
        ]
        write_lines(path, lines)
        inputs[f"predictions.{role}.gold_test"] = str(path)
    out = folder / "out"
    out.mkdir()
    job = Job(
        job_id="j",
        door="brewslm.engine.score:run",
        address="eval_pack",
        spec={},
        inputs=inputs,
        options={
            "profile": "classification",
            "contract": CONTRACT,
            "roles": sorted(outputs),
            "sets": {"gold_test": None},
        },
        folder=str(out),
    )
    result = run(job, Silent())
    document: dict[str, Any] = json.loads((out / result.outputs["metrics"]).read_text())
    return document


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def outcome(gate: Gate, metrics: dict[str, Any], **policy: Any) -> tuple[str | None, str]:
    found = decide([gate], metrics, **policy)["gates"][0]
    return found["verdict"], found["reason"]


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("scored")
    return scored(folder, {"candidate": right_until(45), "baseline": right_until(31)})


def test_values_and_intervals_are_stored(metrics: dict[str, Any]) -> None:
    found = metrics["sets"]["gold_test"]["roles"]["candidate"]
    assert (found["n"], found["n_error"], found["statuses"]) == (
        50,
        0,
        {"ok": 45, "unparseable": 5},
    )
    accuracy = found["metrics"]["accuracy"]
    assert (accuracy["k"], accuracy["n"], accuracy["value"]) == (45, 50, 0.9)
    assert accuracy["interval"] == pytest.approx([0.7864, 0.9565], abs=5e-5)
    macro = found["metrics"]["macro_f1"]
    assert macro["interval"][0] < macro["value"] < macro["interval"][1]
    assert len(macro["quantiles"]) == 1001
    assert found["metrics"]["nll_gain"]["value"] == 0.5
    assert found["slices"]["site=north"]["metrics"]["accuracy"]["value"] == 1.0


def test_gate_line_of_45_of_50(metrics: dict[str, Any]) -> None:
    document = decide([Gate(metric_id="accuracy", threshold=0.85)], metrics)
    found = document["gates"][0]
    assert document["verdict"] == "PASS"
    assert (found["gate_id"], found["k"], found["n"]) == ("min_accuracy", 45, 50)
    assert found["chance_wrong"] == pytest.approx(0.16, abs=0.005)


@pytest.mark.case("EVA-03")
@pytest.mark.parametrize(
    ("fields", "verdict", "reason"),
    [
        ({"threshold": 0.9}, "PASS", "ok"),
        ({"threshold": 0.91}, "FAIL", "below_threshold"),
        ({"threshold": 0.78, "decide_on": "lower"}, "PASS", "ok"),
        ({"threshold": 0.8, "decide_on": "lower"}, "INCONCLUSIVE", "bound_crosses_threshold"),
        ({"threshold": 0.96, "decide_on": "lower"}, "FAIL", "below_threshold"),
        ({"threshold": 0.95, "decide_on": "upper"}, "PASS", "ok"),
        ({"threshold": 0.5, "min_n": 51}, "INCONCLUSIVE", "too_few_rows"),
        ({"threshold": 0.9, "slice": "site=south"}, "FAIL", "below_threshold"),
        ({"threshold": 0.5, "slice": "site=west"}, "INCONCLUSIVE", "too_few_rows"),
        ({"baseline": "base_model", "max_regression": 0.0}, "PASS", "ok"),
        ({"baseline": "champion", "max_regression": 0.0}, None, "not_enforced"),
        (
            {"operator": "worst_slice_gte", "slice_name": "site", "threshold": 0.85},
            "FAIL",
            "worst_slice_below_threshold",
        ),
        (
            {"operator": "worst_slice_gte", "slice_name": "nowhere", "threshold": 0.85},
            "INCONCLUSIVE",
            "no_eligible_slices_required",
        ),
    ],
)
def test_verdict_table(
    metrics: dict[str, Any], fields: dict[str, Any], verdict: str | None, reason: str
) -> None:
    assert outcome(Gate(metric_id="accuracy", **fields), metrics) == (verdict, reason)


def test_the_level_of_an_interval_is_stored_beside_it(metrics: dict[str, Any]) -> None:
    whole = Gate(metric_id="accuracy", threshold=0.9)
    worst = Gate(
        metric_id="accuracy", operator="worst_slice_gte", slice_name="site", threshold=0.85
    )
    found = decide([whole, worst], metrics)["gates"]
    slices = metrics["sets"]["gold_test"]["roles"]["candidate"]["slices"]
    eligible = [
        name
        for name, place in slices.items()
        if name.startswith("site=") and place["rows"] >= worst.min_slice_support
    ]
    assert len(eligible) > 1
    assert found[0]["interval_confidence"] == 0.95
    assert found[1]["interval_confidence"] == pytest.approx(1 - 0.05 / len(eligible))
    rate, n = found[1]["actual"], round(found[1]["n"])
    exact = scipy.stats.binomtest(round(rate * n), n).proportion_ci(
        found[1]["interval_confidence"], method="wilson"
    )
    assert found[1]["interval"] == pytest.approx([exact.low, exact.high])


def test_missing_champion_is_an_error_once_something_was_promoted(metrics: dict[str, Any]) -> None:
    gate = Gate(metric_id="accuracy", baseline="champion", max_regression=0.0)
    assert outcome(gate, metrics, was_ever_promoted=True) == ("ERROR", "baseline_missing")


def test_lte_mirrors(metrics: dict[str, Any]) -> None:
    for threshold, verdict in ((0.1, "PASS"), (0.09, "FAIL")):
        gate = Gate(metric_id="unparseable_rate", operator="lte", threshold=threshold)
        assert outcome(gate, metrics)[0] == verdict


@pytest.mark.case("EVA-11")
def test_metric_of_another_task_never_passes(metrics: dict[str, Any]) -> None:
    required = Gate(metric_id="overall_em", threshold=0.0)
    optional = Gate(metric_id="overall_em", threshold=0.0, required=False)
    assert outcome(required, metrics) == ("INCONCLUSIVE", "missing_metric_required")
    assert outcome(optional, metrics) == (None, "not_enforced")
    assert decide([required], metrics)["blocking"] == ["min_overall_em"]


def test_raising_a_threshold_never_helps(metrics: dict[str, Any]) -> None:
    order = {"PASS": 0, "INCONCLUSIVE": 1, "FAIL": 2}
    for metric_id in ("accuracy", "macro_f1"):
        for decide_on in ("point", "lower", "upper"):
            verdicts = [
                outcome(
                    Gate(metric_id=metric_id, threshold=step / 50, decide_on=decide_on), metrics
                )[0]
                for step in range(51)
            ]
            ranks = [order[verdict or ""] for verdict in verdicts]
            assert ranks == sorted(ranks)


def test_equal_inputs_give_equal_numbers_and_identical_roles_no_difference(tmp_path: Path) -> None:
    roles = {"candidate": right_until(40), "baseline": right_until(40)}
    first, second = scored(tmp_path / "a", roles), scored(tmp_path / "b", roles)
    assert first == second
    stored = first["sets"]["gold_test"]["comparisons"]["baseline"]
    assert stored["metrics"]["accuracy"]["delta"] == 0
    assert stored["metrics"]["accuracy"]["mcnemar"]["p"] == 1
    assert stored["flips"]["gained"] == stored["flips"]["lost"] == []


@pytest.mark.case("EVA-01")
def test_errors_of_the_machinery_are_no_answers(tmp_path: Path) -> None:
    found = scored(tmp_path, {"candidate": right_until(50)}, broken=1)
    role = found["sets"]["gold_test"]["roles"]["candidate"]
    assert (role["n"], role["n_error"]) == (49, 1)
    gate = Gate(metric_id="accuracy", threshold=0.5)
    assert outcome(gate, found) == ("INCONCLUSIVE", "too_many_errors")


def _gates_on(metric: str, threshold: float, *, is_lower_better: bool) -> Iterator[Gate]:
    """Yield every kind of gate on a metric, in its direction."""
    way: Operator = "lte" if is_lower_better else "gte"
    worst: Operator = "worst_slice_lte" if is_lower_better else "worst_slice_gte"
    bounds: tuple[Literal["point", "lower", "upper"], ...] = ("point", "lower", "upper")
    for decide_on in bounds:
        for extra in ({}, {"slice": "label=fault"}, {"slice": "site=south"}, {"min_n": 6}):
            yield Gate(
                metric_id=metric, operator=way, threshold=threshold, decide_on=decide_on, **extra
            )
        for column in ("label", "site", "source"):
            yield Gate(
                metric_id=metric,
                operator=worst,
                threshold=threshold,
                slice_name=column,
                min_slice_support=3,
                decide_on=decide_on,
            )
    for baseline in ("base_model", "champion"):
        for test in ("auto", "none"):
            yield Gate(
                metric_id=metric, operator=way, baseline=baseline, max_regression=0.1, test=test
            )


@pytest.mark.case("EVA-01")
@pytest.mark.parametrize(
    ("role", "rows"),
    [
        ("candidate", [0]),
        ("candidate", [0, 2, 4, 6]),
        ("candidate", list(range(8))),
        ("baseline", [1]),
        ("promoted", [3, 5]),
    ],
)
def test_error_never_gives_a_better_verdict_than_a_wrong_answer(
    tmp_path: Path, role: str, rows: list[int]
) -> None:
    def said(own: str, right: int) -> Outputs:
        return lambda at, gold: "unclear" if at >= right or (own == role and at in rows) else gold

    roles = {"candidate": said("candidate", 7), "baseline": said("baseline", 3)}
    roles["promoted"] = said("promoted", 5)
    wrong = scored(tmp_path / "wrong", roles, n=8)
    ended = scored(tmp_path / "ended", roles, n=8, failed={(role, at) for at in rows})
    passed = 0
    for metric, declared in wrong["declarations"].items():
        is_lower_better = declared["higher_is_better"] is False
        for threshold in (0.0, 0.25, 0.5, 0.8, 1.0):
            for gate in _gates_on(metric, threshold, is_lower_better=is_lower_better):
                better = decide([gate], ended, was_ever_promoted=True)
                if better["verdict"] == "PASS":
                    passed += 1
                    worse = decide([gate], wrong, was_ever_promoted=True)
                    assert worse["verdict"] == "PASS", (gate, better["gates"], worse["gates"])
                found = decide([], ended, required_metrics=[metric])
                is_blind = role == "candidate" and metric != "error_rate"
                assert not (is_blind and found["verdict"] == "PASS")
    assert passed > 0


@pytest.mark.case("EVA-01")
def test_slice_whose_rows_all_ended_in_errors_blocks(tmp_path: Path) -> None:
    failed = {("candidate", at) for at in range(0, 40, 2)}
    found = scored(tmp_path, {"candidate": right_until(40)}, n=40, failed=failed)
    gate = Gate(metric_id="accuracy", operator="worst_slice_gte", slice_name="label", threshold=0.5)
    assert outcome(gate, found) == ("INCONCLUSIVE", "too_many_errors")


def test_gate_says_which_normaliser_its_metric_used(metrics: dict[str, Any]) -> None:
    gates = [Gate(metric_id="accuracy", threshold=0.5), Gate(metric_id="empty_rate", threshold=0)]
    assert [item["normaliser"] for item in decide(gates, metrics)["gates"]] == ["label", "none"]


def test_missing_predictions_are_refused(tmp_path: Path) -> None:
    scored(tmp_path, {"candidate": right_until(50)}, n=12)
    lines = (tmp_path / "candidate.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "candidate.jsonl").write_text("".join(lines[1:]))
    job = Job(
        job_id="j",
        door="brewslm.engine.score:run",
        address="eval_pack",
        spec={},
        inputs={
            "prepared": str(tmp_path / "prepared"),
            "predictions.candidate.gold_test": str(tmp_path / "candidate.jsonl"),
        },
        options={
            "profile": "classification",
            "contract": CONTRACT,
            "roles": ["candidate"],
            "sets": {"gold_test": None},
        },
        folder=str(tmp_path / "out"),
    )
    with pytest.raises(WorkerError, match="predictions of candidate"):
        run(job, Silent())


@pytest.mark.case("EVA-09")
@pytest.mark.parametrize(
    "mutant", [lambda _at, _gold: "", lambda _at, _gold: ", ".join(LABELS), right_until(0)]
)
def test_useless_answers_do_not_pass(tmp_path: Path, mutant: Outputs) -> None:
    found = scored(tmp_path, {"candidate": mutant, "baseline": right_until(31)}, n=20)
    assert outcome(Gate(metric_id="accuracy", threshold=0.5), found)[0] == "FAIL"


def test_majority_label_does_not_pass_macro_f1(tmp_path: Path) -> None:
    found = scored(tmp_path, {"candidate": lambda _at, _gold: "fault"})
    assert outcome(Gate(metric_id="macro_f1", threshold=0.5), found)[0] == "FAIL"


def test_note_says_keep_iterate_or_discard(metrics: dict[str, Any], tmp_path: Path) -> None:
    def decision(document: dict[str, Any], threshold: float) -> str:
        verdict = decide([Gate(metric_id="accuracy", threshold=threshold)], document)
        note = decision_note(verdict, document, clusters=failure_clusters([]))
        assert f"# Decision: {note['decision']}" in note_text(note)
        return str(note["decision"])

    worse = scored(tmp_path, {"candidate": right_until(20), "baseline": right_until(31)})
    assert decision(metrics, 0.85) == "keep"
    assert decision(metrics, 0.95) == "iterate"
    assert decision(worse, 0.85) == "discard"


def test_bca_equals_scipy_on_its_own_distribution() -> None:
    data = np.random.default_rng(5).gamma(2.0, size=40)
    wanted = scipy.stats.bootstrap(
        (data,), np.mean, n_resamples=2000, method="BCa", rng=np.random.default_rng(3)
    )
    jackknife = (data.sum() - data) / (len(data) - 1)
    found = bca(float(data.mean()), wanted.bootstrap_distribution, jackknife)
    assert found is not None
    levels = bca_levels(found["share_below"], found["acceleration"], 0.95)
    assert found["interval"] == pytest.approx(
        list(np.quantile(wanted.bootstrap_distribution, levels))
    )
    assert found["interval"] == pytest.approx(list(wanted.confidence_interval), abs=1e-9)
