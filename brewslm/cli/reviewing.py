"""What a reviewer asks beyond the plan: what changes beside another commit, and what the policy of
the base says to it.
"""

import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from msgspec import Struct

from brewslm.address import Address
from brewslm.cli.git_objects import Commit, open_commit
from brewslm.cli.provenance import git_commit
from brewslm.cli.session import Session
from brewslm.contracts import Spec
from brewslm.errors import ManifestError
from brewslm.files import PathError, read_inside
from brewslm.fingerprint import digest_bytes
from brewslm.manifest.host import HostFacts
from brewslm.manifest.load import check_manifest
from brewslm.manifest.named_files import included_files
from brewslm.manifest.project import Manifest
from brewslm.manifest.yaml_file import MAX_BYTES, read_yaml
from brewslm.plan.against import Base, gates_in, with_base
from brewslm.plan.gold_sources import RowIds, gold_paths, gold_row_ids
from brewslm.plan.plan import Plan
from brewslm.plan.policy import POLICY_FILE, with_policy
from brewslm.stages.data_source import DataSourceSpec, source_path

_MAX_GOLD_BYTES = 64 << 20
"""Gold files above it are compared by their bytes."""


class Review(Struct, frozen=True):
    """Which commits a plan is held against."""

    against: str | None = None
    policy_ref: str | None = None
    """Where the policy is read; None is `against`, else HEAD."""

    @classmethod
    def of(cls, plan: Plan) -> "Review":
        """Return what a plan was held against, by name: what these refs name now decides."""
        against, policy_ref = (plan.options.get(name) for name in ("against", "policy_ref"))
        return cls(str(against) if against else None, str(policy_ref) if policy_ref else None)

    def options(self) -> dict[str, str]:
        """Return what a plan records of it."""
        written = {"against": self.against, "policy_ref": self.policy_ref}
        return {name: ref for name, ref in written.items() if ref is not None}


NO_REVIEW = Review()


def reviewed(
    session: Session, manifest: Manifest, plan: Plan, review: Review, host: HostFacts
) -> Plan:
    """Return a plan with what it changes beside `against`, and with the verdict of the policy.

    host: the facts that the manifest was resolved with, for that of the other commit too.

    Raises: PlanError with unknown_revision.
    """
    if review != NO_REVIEW:
        plan = plan.model_copy(update={"options": plan.options | review.options()}).sealed()
    if review.against is not None:
        with _opened(session, review.against) as commit:
            base = _base(session, manifest, plan, review.against, commit, host)
            plan = with_base(plan, manifest, base)
    ref = review.policy_ref or review.against
    if ref is None and git_commit(session.repository) is None:
        return plan
    with _opened(session, ref or "HEAD") as commit:
        written = commit.read(POLICY_FILE, MAX_BYTES)
    return with_policy(plan, manifest, ref or "HEAD", written, _own_policy(session))


def _opened(session: Session, ref: str) -> AbstractContextManager[Commit]:
    return open_commit(session.repository, ref, session.environment)


def _own_policy(session: Session) -> bytes | None:
    """Return the policy file of the work tree, which decides nothing."""
    try:
        return read_inside(session.root, POLICY_FILE, MAX_BYTES)
    except PathError:
        return None


def _base(
    session: Session,
    manifest: Manifest,
    plan: Plan,
    ref: str,
    commit: Commit,
    host: HostFacts,
) -> Base:
    there = _manifest_at(session, commit, host)
    specs = [*manifest.specs().values(), *(there.specs().values() if there else ())]
    paths = {source_path(spec) for spec in specs if isinstance(spec, DataSourceSpec)} - {""}
    found = {path: commit.digest(path) for path in sorted(paths)}
    digests = {path: digest for path, digest in found.items() if digest is not None}
    gold = _gold(session, manifest, plan, there, commit, digests) if there else (None, None)
    return Base(ref, commit.object_id, there, digests, *gold)


def _gold(
    session: Session,
    manifest: Manifest,
    plan: Plan,
    there: Manifest,
    commit: Commit,
    digests: Mapping[str, str],
) -> tuple[RowIds | None, RowIds | None]:
    """Return the ids of the gold rows of a commit and of now; None for each where their files are
    the same ones, or can't be read.
    """
    now = {item.path: item.digest for item in plan.inputs}
    paths = gold_paths(there.specs())
    specs, old = (
        _of_kinds(side, "adapter", "data_source", "dataset") for side in (manifest, there)
    )
    if specs == old and all(digests.get(path) == now.get(path) for path in paths):
        return None, None
    with tempfile.TemporaryDirectory(prefix="brewslm-base-") as folder:
        root = Path(folder) / "files"
        for path in paths & digests.keys():
            data = commit.read(path, _MAX_GOLD_BYTES)
            if data is None or digest_bytes(data) != digests[path]:
                return None, None
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
        gates, pack = gates_in(there.specs()), _of_kinds(there, "eval_pack")
        before = gold_row_ids(old | pack, digests, root, Path(folder), gates)
        after = gold_row_ids(specs | pack, now, session.root, Path(folder), gates)
    return before, after


def _of_kinds(manifest: Manifest, *kinds: str) -> dict[Address, Spec]:
    return {address: spec for address, spec in manifest.specs().items() if address.kind in kinds}


def _manifest_at(session: Session, commit: Commit, host: HostFacts) -> Manifest | None:
    """Return the manifest of a commit, None where it has none without errors.

    Only the manifest and the files that it includes are written, to a temporary folder.
    """
    data = commit.read(session.manifest, MAX_BYTES)
    if data is None:
        return None
    with tempfile.TemporaryDirectory(prefix="brewslm-base-") as folder:
        root = Path(folder)
        for path in (session.manifest, *included_files(read_yaml(data, session.manifest).value)):
            content = commit.read(path, MAX_BYTES)
            if content is not None and not Path(path).is_absolute():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(content)
        try:
            manifest, _ = check_manifest(root, session.manifest, host)
        except ManifestError:
            return None
    return manifest
