"""A promotion comes back only together with the base model that it was trained on."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from brewslm.contracts import Output
from brewslm.errors import PlanError
from brewslm.plan.base_model import BUILTIN, read_base_model
from brewslm.plan.digest_cache import DigestCache
from brewslm.plan.rollback_base import Surroundings, check_base
from brewslm.state.stores.memory import MemorySession, MemoryStore
from tests.state.states import LINEAGE, NOW, deployment, ended, lease, operation, resource, revision


class Promoted:
    """A promotion of an adapter whose base is a folder of the project."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(BUILTIN / "nano", root / "base")
        store = MemoryStore()
        store.create(LINEAGE)
        self.session: MemorySession = store.acquire(lease(), NOW)
        self.base = read_base_model(root / "base", "./base", DigestCache(0), root)
        self.target = replace(
            deployment("champion", "sha256:" + "a" * 64), base_digest=self.base.digest, revision=1
        )

    def revise(self, **model: Any) -> None:
        """Record the revision of the promotion, in which the manifest named a model."""
        made = replace(revision(), git_commit="c0ffee", effective_manifest={"model": model})
        self.session.add_revision(made)

    def record(self, digest: str, files: dict[str, str], commit: str = "", **spec: Any) -> None:
        """Record a base model as the one of today."""
        record = resource(
            "model",
            kind="model",
            spec=spec,
            outputs={"base": Output(digest, 1)},
            values={"files": files} | ({"commit": commit} if commit else {}),
        )
        number = len(self.session.operations())
        begun = operation(f"model-{number}", address="model", kind="model")
        self.session.begin(begun)
        self.session.end(ended(replace(begun, fence=self.session.fence)), records=[record])

    def refusal(self, **environment: str) -> PlanError:
        """Return why the promotion is refused."""
        with pytest.raises(PlanError) as caught:
            self.check(**environment)
        assert caught.value.code == "deployment_target_invalid"
        assert f"with digest {self.base.digest}" in caught.value.expected
        return caught.value

    def check(self, **environment: str) -> None:
        check_base(self.session, self.target, Surroundings(self.root, environment, DigestCache(0)))


@pytest.fixture
def promoted(tmp_path: Path) -> Promoted:
    return Promoted(tmp_path)


def _touch(folder: Path) -> None:
    path = folder / "generation_config.json"
    path.write_text(path.read_text() + "\n")


def test_untouched_base_is_taken(promoted: Promoted) -> None:
    promoted.revise(base_model="./base")
    promoted.check()
    promoted.record(promoted.base.digest, dict(promoted.base.files), base_model="./base")
    promoted.check()


def test_promotion_that_remembers_no_base_is_not_judged_by_it(promoted: Promoted) -> None:
    shutil.rmtree(promoted.root / "base")
    promoted.check()
    promoted.record("sha256:" + "b" * 64, {}, base_model="./other")
    promoted.check()


def test_changed_file_is_named_where_the_record_is_of_that_base(promoted: Promoted) -> None:
    promoted.revise(base_model="./base")
    promoted.record(promoted.base.digest, dict(promoted.base.files), base_model="./base")
    _touch(promoted.root / "base")
    error = promoted.refusal()
    assert "its base model ./base has changed" in error.message
    assert error.found.startswith("generation_config.json; sha256:")
    assert "git checkout c0ffee -- ./base" in error.remedy


def test_files_of_another_base_are_not_compared(promoted: Promoted) -> None:
    promoted.revise(base_model="./base")
    other = {"config.json": "sha256:" + "c" * 64}
    promoted.record("sha256:" + "b" * 64, other, base_model="./other")
    _touch(promoted.root / "base")
    assert promoted.refusal().found.startswith("other files; sha256:")


def test_record_says_what_the_revision_does_not(promoted: Promoted) -> None:
    promoted.record(promoted.base.digest, dict(promoted.base.files), base_model="./base")
    _touch(promoted.root / "base")
    error = promoted.refusal()
    assert "its base model ./base has changed" in error.message
    assert "git" not in error.remedy


@pytest.mark.parametrize("left", ["nothing", "a file"])
def test_missing_base_is_refused_with_its_place(promoted: Promoted, left: str) -> None:
    promoted.revise(base_model="./base")
    shutil.rmtree(promoted.root / "base")
    if left == "a file":
        (promoted.root / "base").write_text("")
    error = promoted.refusal()
    assert "its base model ./base cannot be used" in error.message
    assert "there is no model folder" in error.found
    assert error.found.endswith("in ./base")
    assert error.remedy.endswith("brewslm rollback 1; what is promoted stays")


def test_hub_model_that_is_not_here_is_refused_with_the_command_that_gets_it(
    promoted: Promoted,
) -> None:
    promoted.revise(base_model="org/name", revision="v1")
    error = promoted.refusal(HF_HOME=str(promoted.root / "hub"))
    assert "org/name at revision v1 is not on this machine" in error.message
    assert error.remedy.startswith("hf download org/name --revision v1, then: ")
    assert str(promoted.root / "hub") in error.found


def test_revision_of_the_manifest_is_named_where_the_record_has_no_commit(
    promoted: Promoted,
) -> None:
    promoted.revise(base_model="org/name", revision="v1")
    promoted.record(promoted.base.digest, {}, base_model="org/name")
    error = promoted.refusal(HF_HOME=str(promoted.root / "hub"))
    assert "org/name at revision v1 is not on this machine" in error.message


def test_base_that_came_with_another_release_is_refused_with_that_release(
    promoted: Promoted,
) -> None:
    promoted.revise(base_model="builtin:gone")
    error = promoted.refusal()
    assert "its base model builtin:gone is not on this machine" in error.message
    assert error.found.endswith("in the installed package brewslm")
    assert error.remedy.startswith("install the release of brewslm that applied that revision")


def test_commit_of_the_record_is_looked_up_before_a_branch(promoted: Promoted) -> None:
    promoted.revise(base_model="org/name", revision="main")
    commit = "d" * 40
    promoted.record(promoted.base.digest, {}, commit, base_model="org/name")
    cached = promoted.root / "hub" / "hub" / "models--org--name" / "snapshots" / commit
    shutil.copytree(promoted.root / "base", cached)
    promoted.check(HF_HOME=str(promoted.root / "hub"))
    _touch(cached)
    assert (
        f"org/name at revision {commit} has changed"
        in promoted.refusal(HF_HOME=str(promoted.root / "hub")).message
    )


def test_base_that_cannot_be_read_is_refused(
    promoted: Promoted, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoted.revise(base_model="./base")

    def failing(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(DigestCache, "digest", failing)
    error = promoted.refusal()
    assert "its base model ./base cannot be read" in error.message
    assert "Input/output error" in error.found
