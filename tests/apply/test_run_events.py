"""What an apply leaves in the history of runs: one event for every action that ended."""

from collections import Counter
from contextlib import closing
from typing import Any

from brewslm.address import Address
from brewslm.stages.kinds import KINDS
from brewslm.state.records import RunEvent
from brewslm.state.run_events import ANY_STAGE, CODES, STAGES
from tests.apply.bench import Bench


def events_of(bench: Bench) -> list[RunEvent]:
    with closing(bench.store().read()) as reader:
        return reader.run_events()[::-1]


def of_actions(events: list[RunEvent]) -> dict[str, RunEvent]:
    found = [event for event in events if "address" in event.payload]
    assert Counter(event.payload["address"] for event in found).most_common(1)[0][1] == 1
    return {str(event.payload["address"]): event for event in found}


def test_every_action_that_ends_leaves_an_event_of_its_stage_with_digests(bench: Bench) -> None:
    adapter = "{name: kinds, source_ref: rows, base_adapter_id: label_to_classification}"
    bench.edit("  dataset:", f"  adapters: [{adapter}]\n  dataset:")
    outcome = bench.apply()
    events = of_actions(events_of(bench))
    assert sorted(events) == sorted(outcome.applied)
    assert {event.stage for event in events.values()} == {
        "ingestion",
        "cleaning",
        "adapter",
        "training",
        "eval",
        "export",
        "deployment",
        "system",
    }
    records = bench.records()
    for address, event in events.items():
        assert event.stage == KINDS[Address.parse(address).kind].ending.stage
        assert event.payload["outputs"] == {
            name: output.digest for name, output in records[address].outputs.items()
        }
        assert event.payload["operation"] == "create"
    codes = {address: event.reason_code for address, event in events.items()}
    assert codes["data_source.rows"] == "dataset_import_run"
    assert codes["eval_pack"] == "eval_decided"
    assert codes["deployment"] == "deployment_promoted"
    assert codes["training_plan"] == codes["export.adapter"] == "action_applied"


def test_events_count_what_their_action_counted(bench: Bench) -> None:
    bench.apply()
    events, records = of_actions(events_of(bench)), bench.records()
    assert (
        events["data_source.rows"].payload["counts"]["rows_read"]
        == (records["data_source.rows"].values["rows_read"])
    )
    total: dict[str, Any] = records["dataset"].values["manifest"]["accounting"]["total"]
    assert events["dataset"].payload["counts"]["total"] == total
    assert events["eval_pack"].payload["counts"]["verdict"] == "PASS"
    assert events["training_plan"].payload["counts"]["steps"] > 0


def test_every_stage_and_code_that_a_kind_declares_is_on_the_lists() -> None:
    for kind in KINDS.values():
        assert kind.ending.stage in STAGES
        assert kind.ending.reason_code in ANY_STAGE | CODES[kind.ending.stage]


def test_reuse_skips_and_deletes_leave_events_too(applied: Bench) -> None:
    before = len(events_of(applied))
    applied.edit("  export: {formats: [adapter, safetensors]}", "  export: {formats: [adapter]}")
    applied.apply()
    deleted = of_actions(events_of(applied)[before:])["export.safetensors"]
    assert (deleted.reason_code, deleted.payload["operation"]) == ("action_applied", "delete")
