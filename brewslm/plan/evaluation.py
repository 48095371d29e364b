"""The pieces of an evaluation, each with an identity of its own.

Predictions depend on the model, the rows and the generation settings; metrics on predictions,
references and definitions; the verdict on metrics and gates. So a changed threshold decides again
without a model, and a changed metric scores stored predictions again.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from brewslm.contracts import Tier
from brewslm.fingerprint import digest_value, fingerprint
from brewslm.tasks.metrics import produced_metrics
from brewslm.tasks.packs import Pack
from brewslm.tasks.task import TASKS

PREDICTIONS_VERSION = 1
"""Raised when the engine would answer the same prompt with other text."""
STATISTICS_VERSION = 1
"""Raised when intervals or paired comparisons are computed differently."""


class Part(Struct, frozen=True):
    """One piece of an evaluation: its name, tier, and the facts that determine it (None while one
    is unknown).
    """

    name: str
    tier: Tier
    facts: dict[str, Any] | None

    @property
    def fingerprint(self) -> str | None:
        """The identity of the piece, None while a fact is unknown."""
        return fingerprint(self.facts) if self.facts is not None else None


class Answering(Struct, frozen=True):
    """What every prediction of an evaluation has in common.

    `load` says how the base model is held (quantization, dtype, chat template settings) as the
    manifest means it on any host; `generation` are the counting values of eval_pack.generation with
    epochs and seeds.
    """

    base_digest: str
    load: Mapping[str, Any]
    generation: Mapping[str, Any]


def predictions_part(
    role: str, set_name: str, answering: Answering, lora_digest: str | None, rows_digest: str | None
) -> Part:
    """Return the predictions of a role (baseline, candidate, promoted) on a prepared set.

    lora_digest: None for the baseline, and while the candidate is not trained yet; rows_digest: of
    the set's file. The baseline and a promoted model are the same piece whichever candidate they
    are compared with.
    """
    name = f"predictions.{role}.{set_name}"
    if rows_digest is None or (role != "baseline" and lora_digest is None):
        return Part(name, Tier.PREDICTIONS, None)
    facts = {
        "part": "predictions",
        "version": PREDICTIONS_VERSION,
        "base": answering.base_digest,
        "lora_adapter": None if role == "baseline" else lora_digest,
        "rows": rows_digest,
        "load": dict(answering.load),
        "generation": dict(answering.generation),
    }
    return Part(name, Tier.PREDICTIONS, facts)


def metrics_part(
    predictions: Mapping[str, str | None],
    rows: Mapping[str, str],
    contract: Mapping[str, Any],
    profile: str,
    profile_version: int,
    options: Mapping[str, Any],
    sets: Mapping[str, tuple[str, ...] | None],
    reported: tuple[str, ...] = (),
    row_sources: Mapping[str, str] | None = None,
) -> Part:
    """Return the metrics of all roles and sets.

    predictions: part name to digest, None while not generated; rows: set name to digest of its
    file; options: of the pack, such as json_mode or normaliser; reported: ids of the only metrics
    that are reported, none means every one of the task; row_sources: set name to a digest of the
    source of each row, by which rows are sliced.
    """
    if any(digest is None for digest in predictions.values()):
        return Part("metrics", Tier.METRICS, None)
    facts = {
        "part": "metrics",
        "statistics_version": STATISTICS_VERSION,
        "profile": profile,
        "profile_version": profile_version,
        "metric_versions": metric_versions(profile, contract),
        "predictions": dict(predictions),
        "rows": dict(rows),
        "contract": dict(contract),
        "options": dict(options),
        "sets": {name: list(names) if names else None for name, names in sorted(sets.items())},
        **({"reported": list(reported)} if reported else {}),
        **({"row_sources": dict(row_sources)} if row_sources else {}),
    }
    return Part("metrics", Tier.METRICS, facts)


def metric_versions(profile: str, contract: Mapping[str, Any]) -> dict[str, int]:
    """Return the definition versions of a task's metrics, those of single classes left out."""
    return {
        metric_id: metric.definition_version
        for metric_id, metric in sorted(produced_metrics(profile, contract).items())
        if not metric_id.startswith("per_")
    }


def scoring_versions(
    profile: str, contract: Mapping[str, Any], pack: Pack | None
) -> dict[str, Any]:
    """Return every version of the program's own that an evaluation rests on."""
    # the first version of answers stands in no record, so that it is no change
    answers = {"predictions": PREDICTIONS_VERSION} if PREDICTIONS_VERSION > 1 else {}
    return {
        **answers,
        "task": f"{profile} {TASKS.load(profile).version}",
        "statistics": STATISTICS_VERSION,
        "metrics": digest_value(metric_versions(profile, contract)),
        "pack": f"{pack.pack_id} {pack.version}" if pack else None,
    }


def verdict_part(
    metrics_digest: str | None,
    candidate_digest: str | None,
    gates: list[dict[str, Any]],
    policy: Mapping[str, Any],
) -> Part:
    """Return the verdict: gates are their counting values, policy what the workflow and the pack
    say.
    """
    if metrics_digest is None or candidate_digest is None:
        return Part("verdict", Tier.VERDICTS, None)
    facts = {
        "part": "verdict",
        "metrics": metrics_digest,
        "candidate": candidate_digest,
        "gates": gates,
        "policy": dict(policy),
    }
    return Part("verdict", Tier.VERDICTS, facts)
