"""What holds for every plan, whatever was edited."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brewslm.contracts import Operation
from brewslm.errors import ExitCode
from brewslm.plan.action import Action
from brewslm.plan.plan import Plan
from tests.apply.bench import Bench
from tests.conftest import copied

EDITS = {
    "rate": ("learning_rate: 2.0e-3", "learning_rate: 1.0e-3"),
    "epochs": ("num_epochs: 2", "num_epochs: 3"),
    "batch": ("optimizer: adamw_torch", "optimizer: adamw_torch\n      batch_size: 3"),
    "gate": ("threshold: 0.8", "threshold: 0.9"),
    "answers": ("  eval_pack:\n", "  eval_pack:\n    generation: {max_new_tokens: 9}\n"),
    "formats": ("[adapter, safetensors]", "[safetensors]"),
    "words": ("sorts complaints", "sorts them"),
    "leaks": ("ngram: 0", "ngram: 8"),
}
chosen = st.sets(st.sampled_from(sorted(EDITS)))
rows = st.integers(50, 70)
law = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def kept_files(applied: Bench) -> dict[Path, str]:
    """Return the files that edits change, with their content before any."""
    paths = [applied.root / "brewslm.yaml", applied.root / "data" / "rows.jsonl"]
    return {path: path.read_text() for path in paths}


def _restore(files: dict[Path, str]) -> None:
    for path, text in files.items():
        path.write_text(text)


def _edit(bench: Bench, names: set[str], amount: int) -> None:
    for name in sorted(names):
        bench.edit(*EDITS[name])
    bench.write_rows("rows", range(amount))


def _leaves(action: Action) -> Iterator[tuple[str, str]]:
    for name, output in (action.after or {}).get("outputs", {}).items():
        yield name, output["digest"]


def _check_shape(plan: Plan) -> None:
    assert sum(plan.summary.values()) == len(plan.actions)
    assert len({action.address for action in plan.actions}) == len(plan.actions)
    for action in plan.actions:
        unknown = set(action.after_unknown.get("outputs", {}))
        assert not unknown & {name for name, _ in _leaves(action)}
        if action.operation is Operation.NOOP:
            assert action.before == action.after
            assert (action.category, action.causes, unknown) == (None, (), set())
        if action.operation is Operation.UPDATE:
            assert action.causes
        assert (action.after is None) == (action.operation is Operation.DELETE)


@pytest.mark.case("TIM-06")
@law
@given(names=chosen, amount=rows)
def test_planning_twice_gives_the_same_bytes(
    applied: Bench, kept_files: dict[Path, str], names: set[str], amount: int
) -> None:
    _restore(kept_files)
    _edit(applied, names, amount)
    plan = applied.built().plan
    assert applied.built().plan.to_bytes() == plan.to_bytes()
    _check_shape(plan)


@law
@given(names=chosen, amount=rows)
def test_an_edit_and_its_revert_change_nothing(
    applied: Bench, kept_files: dict[Path, str], names: set[str], amount: int
) -> None:
    _restore(kept_files)
    before = applied.built().plan
    _edit(applied, names, amount)
    edited = applied.built().plan
    assert edited.has_changes == (bool(names) or amount != 60)
    _restore(kept_files)
    after = applied.built().plan
    assert not after.has_changes
    assert after.to_bytes() == before.to_bytes()


@pytest.mark.parametrize(
    ("names", "amount"),
    [
        ({"rate"}, 60),
        ({"gate", "words"}, 60),
        ({"answers", "formats"}, 60),
        ({"leaks"}, 66),
        ({"batch", "epochs", "gate"}, 54),
        (set(EDITS), 70),
    ],
    ids=lambda value: "-".join(sorted(value)) if isinstance(value, set) else str(value),
)
def test_apply_records_what_every_action_foretold(
    promoted: Path, tmp_path: Path, names: set[str], amount: int
) -> None:
    bench = copied(promoted, tmp_path / "edited")
    _edit(bench, names, amount)
    built = bench.built()
    assert bench.apply(built).exit_code is ExitCode.DONE
    records = bench.records()
    for action in built.plan.actions:
        if action.after is None:
            assert action.address not in records
            continue
        record = records[action.address]
        outputs = {name: output.digest for name, output in record.outputs.items()}
        assert record.spec == action.after["spec"]
        assert dict(_leaves(action)).items() <= outputs.items()
        unknown = set(action.after_unknown.get("outputs", {}))
        assert {name for name, _ in _leaves(action)} | unknown == set(outputs)
        assert action.fingerprint in (None, record.fingerprint)
    assert records.keys() == {item.address for item in built.plan.actions if item.after}
    again = bench.built().plan
    assert not again.has_changes
    _check_shape(again)
