"""The largest project that a manifest may hold: sources and adapters up to the limits."""

import json
from pathlib import Path

from brewslm.manifest.yaml_file import MAX_BYTES, MAX_NODES
from tests.apply.bench import MANIFEST, Bench
from tests.benchmarks.measured import Row, brewslm, medians, plan_without_changes, seconds
from tests.benchmarks.projects import apply_scripted, settle

_NODES_A_PAIR = 16
_SPARE_NODES = 400


def largest_pairs() -> int:
    """Return how many sources, each with its adapter, a manifest may hold."""
    return (MAX_NODES - _SPARE_NODES) // _NODES_A_PAIR


def measure(root: Path, pairs: int, repeats: int) -> list[Row]:
    """Plan a project of so many pairs before and after it was applied."""
    bench = Bench.make(root)
    manifest = _manifest(pairs)
    if len(manifest.encode()) > MAX_BYTES:
        raise ValueError(f"{pairs} pairs take more than {MAX_BYTES} bytes")
    (root / "brewslm.yaml").write_text(manifest)
    for number in range(pairs):
        row = {"text": f"parcel {number} of street {number * 7}", "label": "late"}
        (root / "data" / f"s{number}.jsonl").write_text(json.dumps(row) + "\n")
    first = brewslm(root, "plan")
    apply_scripted(bench)
    settle()
    unchanged_s = medians({"plan": lambda: plan_without_changes(root)}, repeats)["plan"]
    what = f"{2 * pairs:,} sources and adapters ({MAX_NODES:,} YAML nodes is the limit)"
    return [
        Row(f"first plan of {what}", seconds(first.wall_s)),
        Row(
            f"plan with nothing to do of {what}",
            seconds(unchanged_s),
            f"{unchanged_s / (2 * pairs) * 1e3:.2f} ms a resource",
        ),
    ]


def _manifest(pairs: int) -> str:
    sources = [
        f"    - {{name: s{number}, type: raw, file_path: data/s{number}.jsonl, adapter: a{number}}}"
        for number in range(pairs)
    ]
    adapters = [
        f"    - {{name: a{number}, base_adapter_id: label_to_classification}}"
        for number in range(pairs)
    ]
    marks = "  dataset:"
    added = "\n".join(sources) + "\n  adapters:\n" + "\n".join(adapters) + "\n"
    bound = MANIFEST.replace(".jsonl}", ".jsonl, adapter: a0}")
    return bound.replace(marks, added + marks, 1)
