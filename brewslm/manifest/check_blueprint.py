"""Checks of the blueprint: texts that are needed, and what contradicts the rest."""

import re
from collections.abc import Iterator

from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.manifest.schema import ManifestFile
from brewslm.manifest.speaker import Say
from brewslm.manifest.spelling import VALUE_ALIASES
from brewslm.manifest.yaml_file import Path as YamlPath
from brewslm.tasks.task import FORMS, Reference, form_of

_WITH_SHAPE = (Reference.LABEL, Reference.OBJECT)
"""Answers whose shape the blueprint has to tell."""
READ_LIMITS = ("offline_required", "requires_cloud_inference")
"""Keys of `deployment_target_constraints` that are compared."""


def check_blueprint(file: ManifestFile, say: Say) -> Iterator[Finding]:
    """Yield what is wrong with the blueprint."""
    blueprint = file.spec.blueprint
    if blueprint is None:
        return
    path: YamlPath = ("spec", "blueprint")
    texts = (
        ("domain_name", FindingCode.BLUEPRINT_DOMAIN_NAME_REQUIRED),
        ("problem_statement", FindingCode.BLUEPRINT_PROBLEM_STATEMENT_REQUIRED),
        ("target_user_persona", FindingCode.BLUEPRINT_TARGET_PERSONA_REQUIRED),
    )
    for name, code in texts:
        if not getattr(blueprint, name).strip():
            yield say(code, (*path, name), "a text is needed here", "write one sentence")
    family = re.sub(r"[\s-]+", "_", blueprint.task_family.strip().lower())
    family = VALUE_ALIASES["spec.dataset.task_profile"].get(family, family)
    if family in FORMS.names() and form_of(family).reference in _WITH_SHAPE:
        if not blueprint.expected_output_schema:
            yield say(
                FindingCode.BLUEPRINT_OUTPUT_SCHEMA_REQUIRED,
                (*path, "expected_output_schema"),
                "this kind of task needs the shape of its answers",
                "write the labels or the fields",
            )
    limits = blueprint.deployment_target_constraints
    if limits.get("offline_required") is True and limits.get("requires_cloud_inference") is True:
        yield say(
            FindingCode.BLUEPRINT_DEPLOYMENT_CONSTRAINT_CONFLICT,
            (*path, "deployment_target_constraints"),
            "offline and cloud inference are both required",
            "keep one of the two",
        )
    if blueprint.confidence_score < 0.45:
        yield say(
            FindingCode.BLUEPRINT_LOW_CONFIDENCE_BLUEPRINT,
            (*path, "confidence_score"),
            "there is little trust in this blueprint",
            "settle its open questions",
            f"{blueprint.confidence_score:g}",
            "0.45 or more",
            severity=Severity.WARNING,
        )
    if blueprint.unresolved_assumptions:
        yield say(
            FindingCode.BLUEPRINT_UNRESOLVED_ASSUMPTIONS,
            (*path, "unresolved_assumptions"),
            f"{len(blueprint.unresolved_assumptions)} assumptions are open",
            "settle them",
            severity=Severity.WARNING,
        )
    task = file.spec.dataset.task_profile
    if task is not None and family not in (task, "span_set", "extraction"):
        yield say(
            FindingCode.TASK_FAMILY_MISMATCH,
            (*path, "task_family"),
            "the blueprint speaks of another task than the dataset",
            f"write task_family: {task}",
            family,
            task,
            severity=Severity.WARNING,
        )
