"""The manifest's shape: a table of contents over the specs of the stages."""

from typing import Annotated, Literal

from pydantic import Field

from brewslm.contracts import Category, Spec
from brewslm.rows.dataset import DatasetSpec
from brewslm.stages.adapter import AdapterSpec
from brewslm.stages.blueprint import BlueprintSpec
from brewslm.stages.data_source import DataSourceSpec
from brewslm.stages.deployment import DeploymentSpec
from brewslm.stages.domain import DomainSpec
from brewslm.stages.eval_pack import EvalPackSpec
from brewslm.stages.export import ExportSpec
from brewslm.stages.model import ModelSpec
from brewslm.stages.project import ProjectSpec
from brewslm.stages.training_plan import TrainingPlanSpec
from brewslm.stages.workflow import WorkflowSpec

API_VERSION = "brewslm/v1"


class Sections(Spec):
    """The manifest's `spec`: every section is optional."""

    workflow: WorkflowSpec = WorkflowSpec()
    """Rules for verdicts, limits, protection."""
    blueprint: BlueprintSpec | None = None
    """What the model is meant to do, for people."""
    domain: DomainSpec = DomainSpec()
    """Domain pack and profile."""
    model: ModelSpec = ModelSpec()
    """The base model."""
    data_sources: tuple[DataSourceSpec, ...] = ()
    """Where rows come from."""
    adapters: tuple[AdapterSpec, ...] = ()
    """How columns map to the fields of a task."""
    dataset: DatasetSpec = DatasetSpec()
    """Cleaning, splitting, contract, leak check."""
    training_plan: TrainingPlanSpec = TrainingPlanSpec()
    """The recipe."""
    eval_pack: EvalPackSpec = EvalPackSpec()
    """Evaluation and gates."""
    export: ExportSpec = ExportSpec()
    """What is written out."""
    deployment: DeploymentSpec | None = None
    """What is promoted; no promotion when the key is not written."""


class ManifestFile(Spec):
    """`brewslm.yaml`."""

    api_version: Annotated[Literal["brewslm/v1"], Category.METADATA] = "brewslm/v1"
    """Version of this schema."""
    kind: Annotated[Literal["Project"], Category.METADATA] = "Project"
    """What the file describes."""
    metadata: Annotated[ProjectSpec, Field()]
    """Name and description."""
    spec: Sections = Sections()
    """What the project should be."""

    @property
    def can_train(self) -> bool:
        """Whether a base model and data are named, without which later sections do nothing."""
        named = self.spec.model.base_model or self.spec.training_plan.config.base_model
        return bool(named and self.spec.data_sources)
