"""blueprint: what the model is meant to do, in words for people; a record."""

from typing import Annotated, Any

from pydantic import Field

from brewslm.contracts import Category, Kind, Spec, Work


class SuccessMetric(Spec):
    """A target in prose; gates live in eval_pack."""

    metric_id: Annotated[str, Field(max_length=128), Category.METADATA]
    """Name of the metric."""
    label: Annotated[str, Field(max_length=255), Category.METADATA]
    """What people call it."""
    target: Annotated[str, Field(max_length=255), Category.METADATA] = ""
    """What is hoped for."""
    why_it_matters: Annotated[str, Category.METADATA] = ""
    """The reason."""


class GlossaryEntry(Spec):
    """A word of the domain."""

    term: Annotated[str, Field(max_length=128), Category.METADATA]
    """The word."""
    plain_language: Annotated[str, Field(max_length=1000), Category.METADATA]
    """What it means."""
    category: Annotated[str, Field(max_length=64), Category.METADATA] = "general"
    """A group of words."""
    example: Annotated[str | None, Field(max_length=1000), Category.METADATA] = None
    """The word in use."""


class BlueprintSpec(Spec):
    """The manifest's `spec.blueprint`."""

    domain_name: Annotated[str, Field(max_length=255), Category.METADATA] = ""
    """Field of work."""
    problem_statement: Annotated[str, Field(max_length=4000), Category.METADATA] = ""
    """What is to be solved."""
    target_user_persona: Annotated[str, Field(max_length=2000), Category.METADATA] = ""
    """Who uses it."""
    task_family: Annotated[str, Field(max_length=64), Category.METADATA] = "instruction_sft"
    """Kind of task; compared with the effective task profile."""
    input_modality: Annotated[str, Field(max_length=64), Category.METADATA] = "text"
    """Kind of input."""
    expected_output_schema: Annotated[dict[str, Any], Category.METADATA] = {}
    """Shape of an answer; the enforced one is `dataset.contract.json_schema`."""
    expected_output_examples: Annotated[tuple[Any, ...], Category.METADATA] = ()
    """Sample answers."""
    safety_compliance_notes: Annotated[tuple[str, ...], Category.METADATA] = ()
    """Notes."""
    deployment_target_constraints: Annotated[dict[str, Any], Category.METADATA] = {}
    """Only `offline_required` and `requires_cloud_inference` are compared."""
    success_metrics: Annotated[tuple[SuccessMetric, ...], Category.METADATA] = ()
    """Targets in prose."""
    glossary: Annotated[tuple[GlossaryEntry, ...], Category.METADATA] = ()
    """Words of the domain."""
    confidence_score: Annotated[float, Field(ge=0, le=1), Category.METADATA] = 0.0
    """Trust in this blueprint; below 0.45 warns."""
    unresolved_assumptions: Annotated[tuple[str, ...], Category.METADATA] = ()
    """Open questions; any entry warns."""
    version: Annotated[int | None, Category.METADATA] = None
    """Origin of the text."""
    source: Annotated[str | None, Category.METADATA] = None
    """Origin of the text."""


KIND = Kind("blueprint", BlueprintSpec, Category.METADATA, 1, Work.RECORD)
