import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from brewslm.address import Address
from brewslm.contracts import spec_values
from brewslm.diagnostics import FindingCode, Severity, sorted_findings
from brewslm.errors import ManifestError
from brewslm.manifest.load import FindingsError, check_manifest, load_manifest
from brewslm.manifest.schema import ManifestFile
from tests.manifest.writing import BASE, HEAD, errors, findings_of, project, spec, write

SAMPLES = Path(__file__).parent / "samples"


def refused(folder: Path, path: str = "brewslm.yaml") -> ManifestError:
    with pytest.raises(ManifestError) as caught:
        load_manifest(folder, path)
    assert caught.value.remedy
    return caught.value


def test_a_missing_manifest_says_how_to_begin(tmp_path: Path) -> None:
    error = refused(tmp_path)
    assert error.code == "manifest_missing"
    assert "brewslm init" in error.remedy


def test_a_missing_folder_is_no_crash(tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere").code == "manifest_missing"


def test_a_folder_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "brewslm.yaml").mkdir()
    assert refused(tmp_path).code == "path_not_regular_file"


@pytest.mark.parametrize("path", ["../brewslm.yaml", "/etc/hostname", "~/brewslm.yaml"])
def test_a_path_out_of_the_project_is_refused(path: str, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    write(tmp_path, HEAD)
    assert refused(inner, path).code == "path_outside_project"


def test_a_link_out_of_the_project_is_refused(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    write(tmp_path, HEAD)
    (inner / "brewslm.yaml").symlink_to("../brewslm.yaml")
    assert refused(inner).code == "path_outside_project"


def test_a_link_inside_the_project_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_text(HEAD, encoding="utf-8")
    (tmp_path / "brewslm.yaml").symlink_to("real.yaml")
    assert load_manifest(tmp_path).name == "small"


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "brewslm.yaml")
    assert refused(tmp_path).code == "path_not_regular_file"


def test_another_file_name_stands_in_the_findings(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("metadata: {}\n", encoding="utf-8")
    _, (finding,) = check_manifest(tmp_path, "other.yaml")
    assert (finding.code, str(finding.place)) == ("MISSING_FIELD", "other.yaml:1:1")


def test_all_findings_come_at_once_in_order(tmp_path: Path) -> None:
    text = project("""
        dataset: {split: {train: 2.0}, cleening: {}}
        training_plan: {config: {lora_rnk: 8, learning_rate: "2e-4", lr: 1}}
        eval_pack: {gates: [{metric_id: f1, threshhold: 0.5}]}
        export: {formats: [zip]}
        """)
    findings = findings_of(tmp_path, text)
    assert errors(findings) == [
        "OUT_OF_RANGE",
        "UNKNOWN_KEY",
        "UNKNOWN_KEY",
        "WRONG_TYPE",
        "FOREIGN_KEY",
        "UNKNOWN_KEY",
        "INVALID_VALUE",
    ]
    assert findings == sorted_findings(findings)


def test_the_error_of_an_invalid_manifest_carries_its_findings(tmp_path: Path) -> None:
    write(tmp_path, spec("model: {base: x}\nexports: {}"))
    with pytest.raises(FindingsError) as caught:
        load_manifest(tmp_path)
    assert errors(caught.value.findings) == ["UNKNOWN_KEY", "UNKNOWN_KEY"]
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["first_steps", "parcel_desk", "kettle_helpline"])
def test_whole_samples_have_no_errors_and_no_unexpected_warnings(name: str, tmp_path: Path) -> None:
    write(tmp_path, (SAMPLES / f"{name}.yaml").read_bytes())
    manifest, findings = check_manifest(tmp_path)
    assert manifest is not None, findings
    warnings = {item.code for item in findings if item.severity is Severity.WARNING}
    expected = {FindingCode.MODEL_REVISION_UNPINNED} if name == "kettle_helpline" else set()
    assert warnings == expected


def test_what_a_manifest_holds(tmp_path: Path) -> None:
    write(tmp_path, (SAMPLES / "parcel_desk.yaml").read_bytes())
    manifest = load_manifest(tmp_path)
    assert [str(address) for address in sorted(manifest.resources)] == [
        "adapter.message-to-record",
        "data_source.gold",
        "data_source.hard-cases",
        "data_source.inbox",
        "dataset",
        "deployment",
        "eval_pack",
        "export.adapter",
        "export.safetensors",
        "model",
        "project",
        "training_plan",
        "workflow",
    ]
    wanted = manifest.resources[Address("training_plan")]
    assert str(wanted.place("config.lora_r")) == "brewslm.yaml:45:14"
    assert str(wanted.place("config.seed")) == "brewslm.yaml:45:5"
    assert wanted.origins["config.lora_r"] == "manifest"
    assert "config.lora_r" in wanted.written
    assert manifest.specs()[Address("dataset")] is manifest.resources[Address("dataset")].spec


def test_sections_that_need_a_model_are_left_out_without_one(tmp_path: Path) -> None:
    write(tmp_path, spec('data_sources: [{name: a, type: raw, locator: "jsonl:a.jsonl"}]'))
    kinds = {address.kind for address in load_manifest(tmp_path).resources}
    assert kinds == {"project", "workflow", "data_source", "dataset"}


def test_the_base_model_may_stand_in_the_config(tmp_path: Path) -> None:
    write(
        tmp_path,
        spec("""
            data_sources: [{name: a, type: raw, locator: "jsonl:a.jsonl"}]
            training_plan: {config: {base_model: builtin:nano}}
            """),
    )
    manifest = load_manifest(tmp_path)
    assert manifest.effective["model"]["base_model"] == "builtin:nano"
    assert manifest.effective["training_plan"]["config"]["base_model"] == ""


@pytest.mark.parametrize(
    ("role", "shares"),
    [
        ("validation", (0.9, 0.0, 0.1)),
        ("test", (0.9, 0.1, 0.0)),
        ("gold_test", (0.9, 0.1, 0.0)),
        ("gold_dev", (0.8, 0.1, 0.1)),
        ("train", (0.8, 0.1, 0.1)),
    ],
)
def test_sets_with_sources_take_no_share_of_the_pool(
    role: str, shares: tuple[float, ...], tmp_path: Path
) -> None:
    source = f'  - {{name: own, type: {role}, locator: "jsonl:data/own.jsonl"}}\n'
    write(tmp_path, spec(BASE + source))
    manifest = load_manifest(tmp_path)
    split = manifest.effective["dataset"]["split"]
    assert (split["train"], split["validation"], split["test"]) == pytest.approx(shares)
    origin = manifest.resources[Address("dataset")].origins.get("split.train")
    assert origin == (None if shares[0] == 0.8 else "auto-fix:AUTOFIX_SPLIT")


def test_written_shares_are_kept(tmp_path: Path) -> None:
    source = '  - {name: own, type: validation, locator: "jsonl:data/own.jsonl"}\n'
    write(tmp_path, spec(BASE + source + "dataset: {split: {train: 0.8}}\n"))
    assert load_manifest(tmp_path).effective["dataset"]["split"]["validation"] == 0.1


def test_a_mode_that_names_distillation_in_the_config_is_kd(tmp_path: Path) -> None:
    recipe = "{distillation_enabled: true, distillation_teacher_model: ./teacher}"
    write(tmp_path, project(f"training_plan: {{config: {recipe}}}"))
    assert load_manifest(tmp_path).effective["training_plan"]["training_mode"] == "kd"


@pytest.mark.case("UNT-04")
def test_reading_opens_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    monkeypatch.setattr(socket, "socket", lambda *args, **_: opened.append(args))
    write(tmp_path, (SAMPLES / "kettle_helpline.yaml").read_bytes())
    assert load_manifest(tmp_path).name == "kettle-helpline-tone"
    assert opened == []


VALID: list[tuple[str, str, Any]] = [
    ("workflow", "protect", True),
    ("workflow", "target_profile_id", None),
    ("workflow", "gate_policy", {"on_inconclusive": "warn"}),
    ("domain", "pack_id", "general-pack-v1"),
    ("model", "license", "Apache-2.0"),
    ("dataset", "system_prompt", "Be brief: it's short."),
    ("dataset", "split", {"train": 0.7, "validation": 0.2, "test": 0.1, "seed": 7}),
    ("dataset", "cleaning", {"dedupe": "off", "max_chars": None}),
    ("dataset", "contract", {"max_rejects_by_code": {"parse_error": 0}, "min_rows": 3}),
    ("dataset", "leak_check", {"ngram": 0, "near": None}),
    ("dataset", "curriculum", "column:level"),
    ("training_plan", "plan_profile", "safe"),
    ("training_plan", "config", {"target_modules": ["q_proj"], "learning_rate": 1e-4}),
    ("eval_pack", "datasets", ["test"]),
    ("eval_pack", "generation", {"stop": ["\n\n"], "max_new_tokens": 5}),
    ("eval_pack", "gates", [{"metric_id": "f1", "threshold": 0.5}]),
    ("export", "formats", ["adapter"]),
    ("deployment", "alias", "next"),
]


@settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20
)
@given(chosen=st.sets(st.integers(0, len(VALID) - 1)))
def test_any_part_of_the_valid_fields_loads_and_comes_back(
    chosen: set[int], tmp_path: Path
) -> None:
    sections: dict[str, dict[str, Any]] = {"model": {"base_model": "builtin:nano"}}
    for section, name, value in (VALID[index] for index in sorted(chosen)):
        sections.setdefault(section, {})[name] = value
    if "deployment" in sections and "gates" not in sections.get("eval_pack", {}):
        workflow = sections.setdefault("workflow", {})
        workflow["gate_policy"] = workflow.get("gate_policy", {}) | {"promote_ungated": True}
    rows = [{"name": "a", "type": "raw", "locator": "jsonl:a.jsonl"}]
    document = {"metadata": {"name": "n"}, "spec": {**sections, "data_sources": rows}}
    with (tmp_path / "brewslm.yaml").open("w", encoding="utf-8") as stream:
        YAML(typ="safe", pure=True).dump(document, stream)
    manifest = load_manifest(tmp_path)
    effective = manifest.effective
    assert effective["eval_pack"].pop("pack") is None
    assert effective["eval_pack"].pop("scoring") == {}
    policy = effective["workflow"]["gate_policy"]
    assert effective["eval_pack"].pop("on_inconclusive") == policy["on_inconclusive"]
    typed = ManifestFile.model_validate(document, strict=False)
    for section in set(sections) - {"training_plan", "domain", "export"}:
        assert effective[section] == spec_values(getattr(typed.spec, section))
    del effective["training_plan"]["config"]["observability"]
    spelled = {name: effective[name] for name in _WHOLE if name in effective}
    spelled |= {"data_sources": rows, "export": sections.get("export", {})}
    with (tmp_path / "brewslm.yaml").open("w", encoding="utf-8") as stream:
        YAML(typ="safe", pure=True).dump({"metadata": {"name": "n"}, "spec": spelled}, stream)
    assert load_manifest(tmp_path).digest == manifest.digest


_WHOLE = ("workflow", "domain", "model", "dataset", "training_plan", "eval_pack", "deployment")
