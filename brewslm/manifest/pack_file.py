"""Evaluation packs that are files of the project: read in the strict dialect, with positions."""

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from brewslm.diagnostics import Finding, FindingCode, Severity, finding_code
from brewslm.files import PathError, read_inside
from brewslm.manifest.speaker import Say, speaker
from brewslm.manifest.yaml_file import MAX_BYTES, YamlFile, read_yaml
from brewslm.manifest.yaml_file import Path as YamlPath
from brewslm.stages.eval_pack import EvalPackContentSpec, EvalPackSpec
from brewslm.stages.workflow import Inconclusive
from brewslm.tasks.packs import Pack, pack_from

_PATH: YamlPath = ("spec", "eval_pack", "path")


def read_pack(
    root: Path, relative: str, pack_id: str | None, say: Say
) -> tuple[Pack | None, list[Finding]]:
    """Return the pack of a JSON or YAML file, None when it has findings.

    pack_id: the id that the manifest writes beside the path, if any.
    """
    try:
        data = read_inside(root, relative, MAX_BYTES)
    except PathError as error:
        code = finding_code(error.code, FindingCode.EVAL_PACK_FILE)
        return None, [
            say(code, _PATH, error.message, error.remedy, error.found, error.expected),
        ]
    source = read_yaml(data, relative)
    if source.findings:
        return None, [_as_of_pack(finding) for finding in source.findings]
    loaded = pack_from(source.value)
    findings = [
        _finding(source, problem.path, problem.message, problem.remedy)
        for problem in loaded.problems
    ]
    if loaded.pack is not None and pack_id not in (None, loaded.pack.pack_id):
        findings.append(
            say(
                FindingCode.EVAL_PACK_FILE,
                ("spec", "eval_pack", "pack_id"),
                f'"{relative}" holds another pack',
                f"write pack_id: {loaded.pack.pack_id}, or delete the line",
                str(pack_id),
                loaded.pack.pack_id,
            )
        )
    return None if findings else loaded.pack, findings


def with_content(
    spec: EvalPackSpec, root: Path, on_inconclusive: Inconclusive
) -> EvalPackContentSpec:
    """Return the eval_pack with what its pack file says and with the workflow's policy; a file with
    findings says nothing.
    """
    content: dict[str, Any] | None = None
    if spec.path is not None:
        pack, _ = read_pack(root, spec.path, spec.pack_id, speaker(YamlFile()))
        content = pack.model_dump(mode="json", exclude_unset=True) if pack else None
    return EvalPackContentSpec(**dict(spec), pack=content, on_inconclusive=on_inconclusive)


def _as_of_pack(finding: Finding) -> Finding:
    if finding.code not in (FindingCode.MANIFEST_EMPTY, FindingCode.MANIFEST_NOT_A_MAPPING):
        return finding
    fix = "begin with contract_version, pack_id and task_specs"
    return replace(finding, code=FindingCode.EVAL_PACK_FILE, actionable_fix=fix)


def _finding(source: YamlFile, dotted: str, message: str, remedy: str) -> Finding:
    path = tuple(int(step) if step.isdigit() else step for step in dotted.split(".") if step)
    return Finding(
        code=FindingCode.EVAL_PACK_FILE,
        severity=Severity.ERROR,
        message=f"{dotted}: {message}" if dotted else message,
        actionable_fix=remedy,
        field=dotted,
        place=source.place(path),
    )
