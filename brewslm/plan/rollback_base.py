"""The base model of an earlier promotion: a LoRA adapter is worth nothing without the exact files
that it was trained on.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from brewslm.address import Address
from brewslm.errors import PlanError
from brewslm.plan.base_model import locate, read_base_model
from brewslm.plan.digest_cache import DigestCache
from brewslm.plan.hub_cache import repository_folder
from brewslm.plan.model_files import changed_names
from brewslm.state.records import DeploymentRecord
from brewslm.state.store import StateReader

_MODEL = str(Address("model"))


class Surroundings(Struct, frozen=True):
    """Where base models are looked up."""

    root: Path
    """The project folder."""
    environment: Mapping[str, str]
    digests: DigestCache


def check_base(state: StateReader, target: DeploymentRecord, around: Surroundings) -> None:
    """Refuse a promotion whose base model is not here, or has other files than it had.

    Raises: PlanError with deployment_target_invalid, which names the model, its revision, where it
    should be and how to get it.
    """
    wanted = _Wanted.of(state, target)
    if wanted.base_model == "":
        return
    try:
        folder = locate(wanted.base_model, wanted.revision, around.root, around.environment)
        if folder is None or not folder.is_dir():
            raise wanted.refused("is not on this machine", "no such files", around)
        found = read_base_model(folder, wanted.base_model, around.digests, around.root)
    except PlanError as error:
        if error.code == "deployment_target_invalid":
            raise
        raise wanted.refused("cannot be used", f"{error.message}: {error.found}", around) from error
    except OSError as error:
        raise wanted.refused("cannot be read", str(error.strerror), around) from error
    if found.digest != target.base_digest:
        changed = changed_names(wanted.files, found.files) if wanted.files else ["other files"]
        raise wanted.refused("has changed", f"{', '.join(changed)}; {found.digest}", around)


class _Wanted(Struct, frozen=True):
    """The base model that a promotion was trained on, as far as the state remembers it."""

    target: DeploymentRecord
    base_model: str
    revision: str | None
    commit: str
    """Of the project, when it was applied; empty outside git."""
    files: Mapping[str, str]
    """Digests by name, empty where the record is of another model by now."""

    @classmethod
    def of(cls, state: StateReader, target: DeploymentRecord) -> "_Wanted":
        revisions = {item.revision: item for item in state.revisions()}
        made = revisions.get(target.revision)
        record = state.resources().get(_MODEL)
        spec: Mapping[str, Any] = (made.effective_manifest if made else {}).get("model") or {}
        files: Mapping[str, str] = {}
        revision = spec.get("revision")
        if record is not None and record.outputs["base"].digest == target.base_digest:
            spec = spec or record.spec
            files = record.values.get("files", {})
            revision = record.values.get("commit") or spec.get("revision")
        name = str(spec.get("base_model") or "")
        return cls(target, name, revision, made.git_commit if made else "", files)

    def refused(self, what: str, found: str, around: Surroundings) -> PlanError:
        """Return the error of a base model that is not what the promotion needs."""
        at = f" at revision {self.revision}" if self.revision else ""
        place, remedy = self._place(around)
        return PlanError(
            f"revision {self.target.revision} can't be promoted again: its base model "
            f"{self.base_model}{at} {what}",
            code="deployment_target_invalid",
            found=f"{found}, in {place}",
            expected=f"{self.base_model}{at} with digest {self.target.base_digest}, in {place}",
            remedy=f"{remedy}, then: brewslm rollback {self.target.revision}; "
            "what is promoted stays",
        )

    def _place(self, around: Surroundings) -> tuple[str, str]:
        """Return where the files should be, and how they get there."""
        name = self.base_model
        if name.startswith("builtin:"):
            install = "install the release of brewslm that applied that revision"
            return "the installed package brewslm", install
        if name.startswith("./"):
            tracked = f" (if git tracks them: git checkout {self.commit} -- {name})"
            return name, f"put the files back{tracked if self.commit else ''}"
        folder = repository_folder(name, around.environment) / "snapshots"
        flag = f" --revision {self.revision}" if self.revision else ""
        return str(folder / (self.revision or "")), f"hf download {name}{flag}"
