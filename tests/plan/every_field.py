"""Another value for every field of the manifest, found from the fields themselves.

A field that is new in the schema is walked like any other: where the values tried here are not
valid for it, its test says so, and `OTHER` gets a line.
"""

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from brewslm.contracts import Category, category_of
from brewslm.manifest.annotations import element_in, model_in
from brewslm.manifest.schema import ManifestFile
from tests.stages.fields import fields_of

Document = dict[str, Any]
ABSENT = object()
"""In place of a value: the key is not written."""

WHOLE: Document = {
    "api_version": "brewslm/v1",
    "kind": "Project",
    "metadata": {"name": "parcels", "description": "sorts complaints", "labels": {"team": "desk"}},
    "spec": {
        "workflow": {"gate_policy": {"allow_weakening": True}},
        "blueprint": {
            "domain_name": "parcels",
            "problem_statement": "complaints lie around",
            "target_user_persona": "the desk",
            "task_family": "classification",
            "expected_output_schema": {"type": "string"},
            "confidence_score": 0.9,
            "success_metrics": [{"metric_id": "accuracy", "label": "right ones"}],
            "glossary": [{"term": "torn", "plain_language": "not whole"}],
        },
        "domain": {"pack_id": "general-pack-v1"},
        "model": {"base_model": "builtin:nano"},
        "data_sources": [
            {
                "name": "rows",
                "type": "raw",
                "file_path": "data/rows.jsonl",
                "adapter": "faults",
                "versions": [{"version": 1}],
            },
            {"name": "gold", "type": "gold_test", "file_path": "data/gold.jsonl"},
        ],
        "adapters": [{"name": "faults", "base_adapter_id": "label_to_classification"}],
        "dataset": {
            "leak_check": {"near": None, "ngram": 0},
            "split": {"train": 0.8, "validation": 0.2, "test": 0.0},
        },
        "training_plan": {
            "config": {
                "learning_rate": 2.0e-3,
                "num_epochs": 2,
                "max_seq_length": 256,
                "dtype": "float32",
                "optimizer": "adamw_torch",
            }
        },
        "eval_pack": {
            "gates": [
                {
                    "gate_id": "right",
                    "metric_id": "accuracy",
                    "threshold": 0.8,
                }
            ]
        },
        "export": {"formats": ["adapter", "safetensors"]},
        "deployment": {"target_profile_id": "cpu_local"},
    },
}
"""A manifest with an entry in every list."""

_SOURCES = WHOLE["spec"]["data_sources"]
_ADAPTERS = WHOLE["spec"]["adapters"]
_MORE = {"name": "more", "type": "raw", "file_path": "data/more.jsonl", "adapter": "faults"}
_SECOND = {"name": "second", "base_adapter_id": "label_to_classification", "source_type": "test"}

OTHER: dict[str, Document] = {
    "spec.workflow.backend.state": {"spec.workflow.backend.state": "postgresql://db/parcels"},
    "spec.workflow.backend.artifacts": {"spec.workflow.backend.artifacts": "secret://NOWHERE_SET"},
    "spec.model.revision": {
        "spec.model.base_model": "desk/small",
        "spec.model.revision": "0123456789abcdef0123456789abcdef01234567",
    },
    "spec.model.cache_fingerprint": {"spec.model.cache_fingerprint": f"sha256:{'0' * 64}"},
    "spec.data_sources[].locator": {
        "spec.data_sources[].file_path": ABSENT,
        "spec.data_sources[].locator": "jsonl:data/rows.jsonl",
    },
    "spec.data_sources[].adapter": {
        "spec.adapters": [*_ADAPTERS, _SECOND],
        "spec.data_sources[].adapter": "second",
    },
    "spec.data_sources[].sha256": {"spec.data_sources[].sha256": "0" * 64},
    "spec.data_sources[].delimiter": {
        "spec.data_sources[].file_path": "data/rows.csv",
        "spec.data_sources[].delimiter": "|",
    },
    "spec.data_sources": {"spec.data_sources": [*_SOURCES, _MORE]},
    "spec.adapters[].name": {
        "spec.adapters[].name": "other",
        "spec.data_sources[].adapter": "other",
    },
    "spec.adapters[].base_adapter_id": {"spec.adapters[].base_adapter_id": "default-canonical"},
    "spec.adapters[].task_profile": {"spec.adapters[].task_profile": "classification"},
    "spec.adapters[].source_ref": {"spec.adapters[].source_ref": "rows"},
    "spec.adapters[].field_mapping": {"spec.adapters[].field_mapping": {"text": "text"}},
    "spec.adapters[].adapter_config": {
        "spec.adapters[].adapter_config": {"allowed_labels": ["late", "lost", "torn"]}
    },
    "spec.adapters[].output_contract": {
        "spec.adapters[].output_contract": {"max_reject_rate": 0.2}
    },
    "spec.adapters": {"spec.adapters": [*_ADAPTERS, _SECOND]},
    **{
        f"spec.dataset.split.{name}": {
            f"spec.dataset.split.{name}": share,
            f"spec.dataset.split.{other}": rest,
        }
        for name, share, other, rest in (
            ("train", 0.7, "validation", 0.3),
            ("validation", 0.1, "train", 0.9),
            ("test", 0.1, "train", 0.7),
        )
    },
    "spec.dataset.split.stratify_by": {
        "spec.dataset.split.method": "random",
        "spec.dataset.split.stratify_by": "label",
    },
    "spec.dataset.cleaning.max_chars": {"spec.dataset.cleaning.max_chars": 500},
    "spec.dataset.contract.allowed_labels": {
        "spec.dataset.contract.allowed_labels": ["late", "lost", "torn"]
    },
    "spec.dataset.contract.required_fields": {"spec.dataset.contract.required_fields": ["text"]},
    "spec.dataset.contract.json_schema": {"spec.dataset.contract.json_schema": {"type": "object"}},
    "spec.dataset.contract.max_rejects_by_code": {
        "spec.dataset.contract.max_rejects_by_code": {"parse_error": 0}
    },
    "spec.dataset.leak_check.ngram": {"spec.dataset.leak_check.ngram": 8},
    "spec.dataset.mix_back.source": {
        "spec.data_sources": [*_SOURCES, _MORE],
        "spec.dataset.mix_back": {"source": "more", "fraction": 0.1},
    },
    "spec.dataset.curriculum": {"spec.dataset.curriculum": "length"},
    "spec.training_plan.config.fp16": {
        "spec.training_plan.config.dtype": "float16",
        "spec.training_plan.config.fp16": True,
    },
    "spec.training_plan.config.observability": {
        "spec.training_plan.config.observability_level": "high"
    },
    "spec.training_plan.config.loss_type": {
        "spec.adapters[].base_adapter_id": "preference_pair",
        "spec.training_plan.training_mode": "dpo",
        "spec.training_plan.config.loss_type": "hinge",
        "spec.eval_pack.gates": [{"metric_id": "preference_accuracy", "threshold": 0.6}],
    },
    "spec.training_plan.config.label_smoothing": {
        "spec.training_plan.config.label_smoothing": 0.25
    },
    "spec.eval_pack.pack_id": {"spec.eval_pack.pack_id": "evalpack.general.default"},
    "spec.eval_pack.datasets": {"spec.eval_pack.datasets": ["gold"]},
    "spec.eval_pack.path": {"spec.eval_pack.path": "own.yaml"},
    "spec.eval_pack.gates[].slice_name": {
        "spec.eval_pack.gates[].operator": "worst_slice_gte",
        "spec.eval_pack.gates[].slice_name": "label",
    },
    "spec.eval_pack.gates[].slice": {"spec.eval_pack.gates[].slice": "label=late"},
    "spec.eval_pack.gates[].required": {
        "spec.eval_pack.gates[].required": False,
        "spec.workflow.gate_policy.promote_ungated": True,
    },
    "spec.eval_pack.gates[].confidence": {"spec.eval_pack.gates[].confidence": 0.9},
    **{
        f"spec.eval_pack.gates[].{name}": {
            "spec.eval_pack.gates[].baseline": "base_model",
            "spec.eval_pack.gates[].max_regression": 0.0,
        }
        for name in ("baseline", "max_regression")
    },
}
"""Values of fields whose value has a form of its own, or only goes together with others."""

PACK = """\
contract_version: slm.evaluation-pack/v2
pack_id: own
task_specs:
  - task_profile: classification
    gates: [{gate_id: held, metric_id: accuracy, operator: gte, threshold: 0.9}]
"""
"""What lies at `own.yaml`."""


@dataclass(frozen=True)
class Leaf:
    """A field that holds a value of its own."""

    path: str
    """Dotted path from the root; `[]` stands for the first entry of a list."""
    info: FieldInfo

    @property
    def section(self) -> str:
        """The path of what it belongs to."""
        return self.path.rpartition(".")[0] or "the file"

    @property
    def category(self) -> Category | None:
        """What a change of it counts as."""
        return category_of(self.info)


LEAVES = [
    Leaf(f"{section}.{name}".removeprefix("."), info)
    for section, name, info in fields_of(ManifestFile)
]


def with_values(document: Document, values: Document) -> Document:
    """Return a copy of a document with these values at their paths."""
    edited = copy.deepcopy(document)
    for path, value in values.items():
        *sections, name = _steps(path)
        place: Any = edited
        for section in sections:
            if isinstance(section, str) and section not in place:
                place[section] = {}
            place = place[section]
        if value is ABSENT:
            place.pop(name, None)
        else:
            place[name] = value
    return edited


def value_in(document: Document, leaf: Leaf) -> Any:
    """Return what is written at a field, else its default."""
    place: Any = document
    for step in _steps(leaf.path):
        if isinstance(step, str) and step not in place:
            return leaf.info.default
        place = place[step]
    return place


def write_document(folder: Path, document: Document) -> None:
    """Write a manifest as JSON, which YAML takes for its own."""
    (folder / "brewslm.yaml").write_text(json.dumps(document, indent=1) + "\n")


def others(leaf: Leaf) -> Iterator[Document]:
    """Yield manifests whose field has another value, the likeliest to be valid first."""
    if leaf.path in OTHER:
        yield with_values(WHOLE, OTHER[leaf.path])
        return
    for value in _others(leaf.info, value_in(WHOLE, leaf)):
        yield with_values(WHOLE, {leaf.path: value})


def other_values(leaf: Leaf) -> list[Any]:
    """Return values that a field may have instead, those that go with other fields left out."""
    return list(_others(leaf.info, value_in(WHOLE, leaf)))


def choices(annotation: Any) -> tuple[Any, ...]:
    """Return every member of every closed list that a field's type names."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(item for inner in get_args(annotation) for item in choices(inner))


def _steps(path: str) -> list[str | int]:
    return [0 if step == "[]" else step for step in re.findall(r"\[\]|[^.\[\]]+", path)]


def _others(info: FieldInfo, current: Any) -> Iterator[Any]:
    seen = [current]
    for value in _values(info.annotation, current):
        plain = [list(item) if isinstance(item, tuple) else item for item in (value, *seen)]
        if plain[0] not in plain[1:]:
            seen.append(value)
            yield plain[0]


def _values(annotation: Any, current: Any) -> Iterator[Any]:
    """Yield values of a type, plain ones first; ranges are the manifest's business."""
    origin = get_origin(annotation)
    if model_in(element_in(annotation)) is not None:
        yield []
    elif origin is Literal:
        yield from get_args(annotation)
    elif origin is tuple:
        for item in _values(get_args(annotation)[0], None):
            yield [item]
    elif origin is dict or annotation is dict:
        yield {"other": "other"}
    elif annotation is bool:
        yield from (True, False)
    elif annotation in (int, float):
        number = current if isinstance(current, (int, float)) else 1
        yield from (number + 1, number + 0.5, number / 2, 1, 2, 0)
    elif annotation is str:
        yield from ("other", "builtin:nano", "general-pack-v1", "generic-domain-v1")
    elif annotation is Any:
        yield "other"
    else:
        for inner in get_args(annotation):
            yield from _values(inner, current)
