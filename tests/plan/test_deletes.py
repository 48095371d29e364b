"""What leaves the manifest is deleted as shown: last, within a budget, and never when protected."""

import pytest

from brewslm.address import Address
from brewslm.contracts import Operation
from brewslm.diagnostics import FindingCode, exit_code_of
from brewslm.errors import ExitCode
from brewslm.manifest.load import load_manifest
from brewslm.plan.deletes import delete_actions
from brewslm.plan.findings import Findings
from brewslm.plan.plan import Plan
from tests.apply.bench import MANIFEST, Bench

PROTECTED = "  workflow: {protect: true}\n  model:"


@pytest.fixture
def protected(applied: Bench) -> Bench:
    """Return a project whose recorded value protects it."""
    applied.edit("  model:", PROTECTED)
    assert applied.apply().exit_code is ExitCode.DONE
    return applied


def _codes(plan: Plan) -> set[str]:
    return {str(item.code) for item in plan.finding_values if item.severity == "error"}


@pytest.mark.case("PLN-12")
def test_protection_and_removal_in_one_edit_are_refused(protected: Bench) -> None:
    protected.edit("protect: true", "protect: false")
    protected.edit("[adapter, safetensors]", "[adapter]")
    plan = protected.built().plan
    assert _codes(plan) == {FindingCode.PROTECTED}
    assert exit_code_of(plan.finding_values) is ExitCode.REFUSED


def test_protection_is_lifted_first_and_said_as_a_weakening(protected: Bench) -> None:
    protected.edit("protect: true", "protect: false")
    plan = protected.built().plan
    (change,) = plan.gate_changes
    assert (change.kind, change.address, change.weakened) == (
        "protection_removed",
        "workflow",
        True,
    )
    assert plan.is_applyable
    assert protected.apply().exit_code is ExitCode.DONE
    protected.edit("[adapter, safetensors]", "[adapter]")
    assert protected.apply().exit_code is ExitCode.DONE
    assert "export.safetensors" not in protected.records()


def test_protection_outlives_the_section_that_wrote_it(protected: Bench) -> None:
    (protected.root / "brewslm.yaml").write_text(
        MANIFEST.replace("[adapter, safetensors]", "[adapter]")
    )
    assert _codes(protected.built().plan) == {FindingCode.PROTECTED}


@pytest.mark.case("DEP-11")
def test_delete_of_what_is_promoted_needs_a_written_budget(applied: Bench) -> None:
    text = (applied.root / "brewslm.yaml").read_text()
    (applied.root / "brewslm.yaml").write_text(text[: text.index("  deployment:")])
    assert _codes(applied.built().plan) == {FindingCode.DELETE_BUDGET_EXCEEDED}
    built = applied.built(max_deletes=4)
    assert built.plan.is_applyable
    candidate = applied.records()["training_plan"]
    assert applied.apply(built).exit_code is ExitCode.DONE
    assert applied.promoted() is None
    assert applied.records()["training_plan"] == candidate
    assert applied.built(refresh="full").plan.drift == (), "bytes stay"


@pytest.mark.case("PLN-12")
def test_more_deletes_than_the_budget_are_refused(applied: Bench) -> None:
    line = "    - {name: rows, type: raw, file_path: data/rows.jsonl}\n"
    more = ""
    for number in range(4):
        applied.write_rows(f"more{number}", range(200 + 10 * number, 210 + 10 * number))
        more += f"    - {{name: more{number}, type: raw, file_path: data/more{number}.jsonl}}\n"
    applied.edit(line, line + more)
    assert applied.apply().exit_code is ExitCode.DONE
    before = applied.records()
    applied.edit(more, "")
    plan = applied.built().plan
    assert _codes(plan) == {FindingCode.DELETE_BUDGET_EXCEEDED}
    assert exit_code_of(plan.finding_values) is ExitCode.REFUSED
    assert applied.built(max_deletes=4).plan.is_applyable
    assert applied.records() == before
    assert all((applied.root / "data" / f"more{number}.jsonl").exists() for number in range(4))


@pytest.mark.case("PLN-16")
def test_delete_stays_pending_where_a_create_failed(bench: Bench) -> None:
    bench.edit("[adapter, safetensors]", "[adapter]")
    assert bench.apply().exit_code is ExitCode.DONE
    bench.edit("[adapter]", "[safetensors]")
    operations = {item.address: item.operation for item in bench.built().plan.actions}
    assert operations["export.safetensors"] is Operation.CREATE
    bench.deaths = {0: "export_run_failed"}
    outcome = bench.apply()
    assert outcome.exit_code is ExitCode.ERROR
    assert outcome.failed == ["export.safetensors"]
    assert outcome.pending == ["export.adapter"]
    assert "export.adapter" in bench.records()
    assert (bench.home / "exports" / "adapter" / "model").exists()


@pytest.mark.case("PLN-16")
def test_deletes_come_last_and_stay_pending_after_a_failure(applied: Bench) -> None:
    applied.edit("[adapter, safetensors]", "[adapter]")
    applied.edit("2.0e-3", "1.0e-3")
    plan = applied.built().plan
    assert plan.actions[-1].operation is Operation.DELETE
    applied.deaths = {0: "training_runtime_error"}
    outcome = applied.apply()
    assert outcome.exit_code is ExitCode.ERROR
    assert outcome.pending == ["export.safetensors"]
    assert "export.safetensors" in applied.records()


@pytest.mark.case("PLN-12")
def test_manifest_that_would_delete_all_work_is_refused_whatever_the_budget(
    applied: Bench,
) -> None:
    reader = applied.store().read()
    records = reader.resources()
    reader.close()
    findings = Findings(load_manifest(applied.root))
    kept = {Address("project"), Address("workflow")}
    delete_actions(records, kept, 99, findings)
    assert [item.code for item in findings.items] == [FindingCode.DELETE_BUDGET_EXCEEDED]
    assert "brewslm destroy" in findings.items[0].actionable_fix
