"""The closed lists of run events: stages, severities, and which reason code belongs to which
stage.
"""

import uuid

from msgspec import to_builtins
from msgspec.structs import replace

from brewslm.errors import StateError
from brewslm.fingerprint import digest_value
from brewslm.state.records import RunEvent

STAGES = (
    "ingestion",
    "cleaning",
    "adapter",
    "training",
    "eval",
    "export",
    "deployment",
    "autopilot",
    "system",
)
SEVERITIES = ("info", "warning", "error", "critical")

ANY_STAGE = frozenset(
    [
        "action_applied",
        "action_reused",
        "action_skipped",
        "input_changed",
        "artifact_missing",
        "artifact_corrupt",
        "disk_full",
        "permission_denied",
        "interrupted",
        "worker_start_failed",
        "worker_killed",
        "worker_protocol_error",
        "missing_extra",
        "secret_missing",
        "network_refused",
        "output_limit_exceeded",
    ]
)

CODES: dict[str, frozenset[str]] = {
    stage: frozenset(text.split())
    for stage, text in {
        "ingestion": """
            ingest_unsupported_format ingest_io_error ingest_validation_failed dataset_import_run
            dataset_import_failed annotation_job_created annotation_label_submitted
            annotation_rows_promoted distillation_teacher_capture ingest_source_changed
            ingest_reject_budget_exceeded ingest_leak_blocked ingest_gold_changed
            ingest_path_refused
        """,
        "cleaning": "cleaning_outlier_threshold_exceeded cleaning_pii_block",
        "adapter": """
            adapter_schema_mismatch adapter_field_resolution_failed adapter_mapping_changed
        """,
        "training": """
            training_dispatch_error training_runtime_error training_oom training_timeout
            training_cancelled training_nonfinite_loss training_stalled training_no_targets
            training_data_mismatch
            training_checkpoint_saved training_checkpoint_invalid training_resumed
            training_resume_refused base_mismatch base_refused base_revision_moved
            base_weights_missing template_limit_exceeded
        """,
        "eval": """
            eval_runtime_error eval_dataset_missing eval_judge_unavailable eval_gate_failed
            eval_inconclusive eval_error_budget_exceeded eval_baseline_not_comparable
            eval_records_corrupt eval_evidence_mismatch eval_template_mismatch
            eval_parity_below_one eval_judge_not_calibrated eval_gold_changed eval_gate_weakened
            eval_started eval_predictions_reused eval_predictions_done eval_scored eval_decided
        """,
        "export": """
            export_run_failed export_artifact_missing export_quantization_failed
            export_parity_failed export_tokenizer_mismatch export_gate_failed export_tool_missing
            bundle_refused signature_invalid signature_missing
        """,
        "deployment": """
            deployment_smoke_failed deployment_promote_blocked deployment_rollback_no_predecessor
            deployment_drift_detected deployment_promoted deployment_rolled_back
            deployment_conflict deployment_target_invalid deployment_not_ready
            deployment_check_inconclusive deployment_bind_refused deployment_pointer_repaired
        """,
        "autopilot": """
            autopilot_repair_blocked autopilot_strict_mode_refused autopilot_no_safe_plan
        """,
        "system": """
            system_db_error system_config_invalid extension_load_failed extension_contract_invalid
            manifest_invalid plan_stale plan_lineage_mismatch plan_digest_mismatch plan_incomplete
            plan_unreadable approval_missing policy_refused preflight_refused code_refused
            budget_exceeded delete_refused delete_budget_exceeded state_locked lease_lost
            lease_taken_over lease_forced state_corrupt state_too_new state_migrated
            state_write_failed errored_state_present store_suspect journal_recovered
            journal_truncated revision_recorded gc_finished
        """,
    }.items()
}


def check_event(event: RunEvent) -> None:
    """Refuse an event whose stage, severity or code is not on the lists.

    Raises: StateError with code invalid_stage, invalid_severity, reason_code_required or
    invalid_reason_code.
    """
    if event.stage not in STAGES:
        raise _refused("invalid_stage", event.stage)
    if event.severity not in SEVERITIES:
        raise _refused("invalid_severity", event.severity)
    if not event.reason_code:
        if event.severity in ("error", "critical"):
            raise _refused("reason_code_required", event.severity)
        return
    if event.reason_code not in CODES[event.stage] | ANY_STAGE:
        raise _refused(f"invalid_reason_code:{event.reason_code}", event.stage)


def chained(event: RunEvent, previous: RunEvent | None) -> RunEvent:
    """Return the event with its sequence number and the digest of the event before it."""
    if previous is None:
        return replace(event, sequence=1, previous_digest="")
    return replace(
        event, sequence=previous.sequence + 1, previous_digest=digest_value(to_builtins(previous))
    )


def migrated_event(run_id: str, actor: str, at: str, before: int, after: int) -> RunEvent:
    """Return the event of a state that was brought to another version."""
    return RunEvent(
        sequence=0,
        event_id=uuid.uuid4().hex,
        run_id=run_id,
        stage="system",
        severity="info",
        reason_code="state_migrated",
        actor=actor,
        summary=f"the state was brought from version {before} to version {after}",
        payload={"from": before, "to": after},
        at=at,
    )


def _refused(code: str, found: str) -> StateError:
    return StateError(
        f"a run event was refused: {code}",
        code=code.partition(":")[0],
        found=found,
        remedy="report this: the program wrote an event that is not on its list",
    )
