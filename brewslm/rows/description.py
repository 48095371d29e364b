"""What `manifest.json` of a prepared folder says: settings, sources, counts; no path, no time."""

from collections import Counter
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from brewslm.fingerprint import digest_value
from brewslm.rows.clean import VERSION as CLEANING_VERSION
from brewslm.rows.contract import Contract
from brewslm.rows.leaks import LeakReport
from brewslm.rows.mix import Mix
from brewslm.rows.prepared import FORMAT_VERSION
from brewslm.rows.record import Split
from brewslm.rows.stored import StoredExample
from brewslm.rows.work import Work


def describe_settings(
    work: Work, labels: tuple[str, ...], contracts: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """Return what the manifest says about the settings and the sources."""
    request = work.request
    contract = Contract.of(request.dataset.contract)
    modes = {binding.scoring_mode for binding in work.bindings.values()}
    document = contract.document(labels, modes.pop() if len(modes) == 1 else "auto")
    bindings = work.bindings.values()
    return {
        "format_version": FORMAT_VERSION,
        "project": request.project,
        "seed": request.dataset.split.seed,
        "task_profile": _task_profile(work),
        "labels": list(labels),
        "output_schema": {
            **(contract.json_schema or {}),
            "scoring_mode": document["scoring_mode"],
        },
        "contract": document,
        "contract_digest": digest_value(document),
        "chat_template": request.chat_template,
        "prompt_template_digest": request.prompt_template_digest,
        "adapters": [
            {
                "source": binding.source.name,
                "adapter_id": binding.mapper.id,
                "adapter_config": dict(binding.source.options),
                "field_mapping": binding.field_map,
                "task_profile": binding.target.task_profile,
                "contract_digest": digest_value(contracts[binding.source.name]),
            }
            for binding in bindings
        ],
        "sources": [
            {
                "name": binding.source.name,
                "type": binding.source.role,
                "locator": str(work.feeds[binding.source.name].locator),
                "digest": work.feeds[binding.source.name].digest,
                "rows_read": work.feeds[binding.source.name].rows_read,
                "blank_lines": work.feeds[binding.source.name].tally.blank_lines,
                "byte_order_marks": work.feeds[binding.source.name].tally.byte_order_marks,
            }
            for binding in bindings
        ],
        "dataset_versions": {name: feed.digest for name, feed in work.feeds.items()},
        "included_types": sorted({binding.source.role for binding in bindings}),
        "include_types_resolution": "every source of the project",
    }


def _task_profile(work: Work) -> str | None:
    """Return the profile of the dataset; the source that is mixed back has no say."""
    if work.request.dataset.task_profile is not None:
        return work.request.dataset.task_profile
    profiles = Counter(
        example.task_profile
        for example in work.examples
        if example.source != work.request.dataset.mix_back.source
    )
    return min(profiles, key=lambda name: (-profiles[name], name)) if profiles else None


def describe_rows(
    work: Work, accounting: dict[str, Any], mix: Mix, leaks: LeakReport
) -> dict[str, Any]:
    """Return what the manifest says about the rows."""
    dataset = work.request.dataset
    split = dataset.split
    changed: Counter[str] = Counter()
    pii: Counter[str] = Counter()
    flags: Counter[str] = Counter()
    for binding in work.bindings.values():
        changed.update(binding.tally.changed)
        pii.update(binding.tally.pii)
    for own, amount in Counter(example.flags for example in work.examples).items():
        flags.update(dict.fromkeys((flag.value for flag in own), amount))
    return {
        "total_entries": accounting["total"]["accepted"],
        "splits": accounting["total"]["splits"],
        "ratios": {"train": split.train, "validation": split.validation, "test": split.test},
        "accounting": accounting,
        "train_rows_effective": mix.train_rows_effective,
        "mix": mix.to_json(),
        "cleaning": {
            "version": CLEANING_VERSION,
            "changed": dict(sorted(changed.items())),
            "flags": dict(sorted(flags.items())),
            "pii": {"action": dataset.cleaning.pii, "types": dict(sorted(pii.items()))},
            "left_values": sum(item.tally.left_values for item in work.bindings.values()),
        },
        "leaks": {
            "counts": leaks.counts(),
            "blocking": len(leaks.blocking),
            "action": dataset.leak_check.action,
            "boilerplate": len(leaks.boilerplate),
        },
        "label_counts": _label_counts(work.examples),
    }


def _label_counts(examples: list[StoredExample]) -> dict[str, dict[str, int]]:
    amounts = Counter(
        (example.split or Split.HELD, example.label)
        for example in examples
        if example.label is not None
    )
    counts: dict[str, dict[str, int]] = {}
    for (split, label), amount in sorted(amounts.items(), key=itemgetter(0)):
        counts.setdefault(split.value, {})[label] = amount
    return dict(sorted(counts.items()))
