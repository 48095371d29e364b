"""Which earlier promotion a rollback means, and what it refuses to promote again."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from brewslm.artifacts.memory import MemoryArtifacts
from brewslm.contracts import Output
from brewslm.errors import PlanError
from brewslm.plan.digest_cache import DigestCache
from brewslm.plan.rollback import is_held, plan_rollback
from brewslm.plan.rollback_base import Surroundings
from brewslm.state.stores.memory import MemorySession, MemoryStore
from tests.state.states import LINEAGE, NOW, deployment, ended, lease, operation, resource, revision


class Past:
    """A state with promotions and revisions, and the artifacts that they name."""

    def __init__(self, root: Path) -> None:
        store = MemoryStore()
        store.create(LINEAGE)
        self.session: MemorySession = store.acquire(lease(), NOW)
        self.artifacts = MemoryArtifacts()
        self.root = root
        self.models: dict[str, Output] = {}

    def put(self, name: str) -> Output:
        """Keep a model or an export."""
        folder = self.root / name
        folder.mkdir(parents=True)
        (folder / "content").write_text(name)
        self.models[name] = self.artifacts.put_folder(folder)
        return self.models[name]

    def verdict(self, verdict: str, candidate: str) -> str:
        """Keep a verdict."""
        document = {"verdict": verdict, "candidate_digest": candidate}
        return self.artifacts.put_bytes(json.dumps(document).encode()).digest

    def promote(self, name: str, alias: str = "champion", **details: Any) -> None:
        """Promote a model and record the revision."""
        model = self.models.get(name) or self.put(name)
        number = len(self.session.revisions()) + 1
        begun = operation(
            f"promote-{number}", kind="deployment", fingerprint=f"f-{name}", facts={"of": name}
        )
        self.session.begin(begun)
        self.session.end(
            ended(replace(begun, fence=self.session.fence)),
            records=[
                resource(
                    "deployment",
                    kind="deployment",
                    spec={},
                    values={"alias": alias},
                    outputs={"promoted": model},
                    revision=number,
                )
            ],
            deployment=replace(
                deployment(alias, model.digest),
                fingerprint=f"f-{name}",
                evidence_digest=details.pop("evidence", self.verdict("PASS", model.digest)),
                revision=number,
                details=details,
            ),
        )
        self.revise("deployment")

    def revise(self, address: str, *, is_partial: bool = False) -> None:
        """Record a revision."""
        made = revision()
        actions = ({"address": address, "operation": "update"},)
        self.session.add_revision(replace(made, actions=actions, is_partial=is_partial))

    def back(self, wanted: int | None = None) -> str | None:
        """Return the name of the model that a rollback promotes, None where it is promoted."""
        around = Surroundings(self.root, {}, DigestCache(0))
        rollback = plan_rollback(self.session, self.artifacts, wanted, around)
        if rollback is None:
            return None
        (name,) = [x for x, model in self.models.items() if model.digest == rollback.target.digest]
        (action,) = rollback.plan.actions
        assert (action.fingerprint, action.facts) == (f"f-{name}", {"of": name})
        assert rollback.promoted == self.models[name]
        assert rollback.current == self.session.deployments("champion")[0]
        return name

    def refusal(self, wanted: int | None = None) -> PlanError:
        """Return why a rollback is refused."""
        with pytest.raises(PlanError) as caught:
            self.back(wanted)
        return caught.value


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path)


def test_a_revision_means_what_was_promoted_then(past: Past) -> None:
    past.revise("project")
    past.promote("first")
    past.revise("project")
    past.promote("second")
    past.revise("project", is_partial=True)
    past.promote("first")
    past.promote("third")
    past.revise("deployment", is_partial=True)
    assert past.back() == "first", "the one before, whatever came between"
    expected = {2: "first", 3: "first", 4: "second", 6: "first", 7: None, 8: None}
    assert {number: past.back(number) for number in expected} == expected
    refused = {number: past.refusal(number) for number in (1, 5, 9)}
    codes = {number: error.code for number, error in refused.items()}
    assert codes == {
        1: "deployment_target_invalid",
        5: "deployment_target_invalid",
        9: "unknown_revision",
    }
    assert "partial" in refused[5].message


def test_another_candidate_is_meant_and_another_alias_is_not(past: Past) -> None:
    past.promote("first", alias="other")
    past.promote("second")
    past.promote("second")
    assert past.refusal().code == "deployment_rollback_no_predecessor"
    past.promote("third")
    past.promote("third")
    assert past.back() == "second"


@pytest.mark.parametrize("lost", ["model", "export", "evidence"])
def test_target_is_whole_or_refused(past: Past, lost: str) -> None:
    export = past.put("export")
    past.promote("first", exports={"export.adapter": export.digest})
    past.promote("second")
    assert past.back() == "first"
    target = past.session.deployments()[1]
    digests = {"model": target.digest, "export": export.digest, "evidence": target.evidence_digest}
    past.artifacts.trash(digests[lost])
    error = past.refusal()
    assert error.code == "deployment_target_invalid"
    name = {"model": "LoRA adapter", "export": "export.adapter", "evidence": "verdict"}[lost]
    assert f"{name} of revision 1 is missing" in error.message


def test_only_what_passed_as_these_bytes_is_promoted_again(past: Past) -> None:
    model = past.put("first")
    for verdict, candidate in (("FAIL", model.digest), ("PASS", "sha256:other")):
        past.promote("first", evidence=past.verdict(verdict, candidate))
        past.promote("second")
        error = past.refusal()
        assert (error.code, error.found) == (
            "deployment_target_invalid",
            f"{verdict} for {candidate}",
        )
    past.promote("first", evidence=past.artifacts.put_bytes(b"{").digest)
    past.promote("second")
    assert "the verdict of revision 5 is damaged" in past.refusal().message


def test_hold_is_on_a_candidate_under_its_alias() -> None:
    record = resource(values={"alias": "champion", "held": ["sha256:a"]})
    name = "training_plan:lora_adapter"
    assert is_held(record, "champion", {name: "sha256:a"})
    assert not is_held(record, "champion", {name: "sha256:b"})
    assert not is_held(record, "champion", {name: None})
    assert not is_held(record, "other", {name: "sha256:a"})
