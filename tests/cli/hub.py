"""A bare repository that people push to, and a clone of it that a loop owns."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.apply.bench import Bench
from tests.cli.repository import begin, commit, git
from tests.faults.calls import Ending, Launcher


@dataclass(frozen=True)
class Hub:
    """A desk where commits are made, a hub, and the loop's clone."""

    folder: Path
    launcher: Launcher

    @classmethod
    def make(cls, folder: Path, launcher: Launcher, *clone_flags: str) -> "Hub":
        """Put the bench's project on a hub and clone it."""
        hub = cls(folder, launcher)
        begin(Bench.make(folder / "desk").root)
        git(folder, "clone", "-q", "--bare", "desk", "hub.git")
        git(hub.desk.root, "remote", "add", "origin", hub.url)
        hub.clone("agent", *clone_flags)
        return hub

    @property
    def url(self) -> str:
        """Where the hub is."""
        return f"file://{self.folder / 'hub.git'}"

    @property
    def desk(self) -> Bench:
        """The project where changes are made."""
        return Bench(self.folder / "desk")

    @property
    def agent(self) -> Bench:
        """The project in the loop's clone."""
        return Bench(self.folder / "agent")

    def clone(self, name: str, *flags: str) -> Bench:
        """Clone the hub."""
        git(self.folder, "clone", "-q", *flags, self.url, name)
        return Bench(self.folder / name)

    def push(self, *edits: tuple[str, str]) -> str:
        """Edit the manifest, commit all that is there, push it and return the commit."""
        for before, after in edits:
            self.desk.edit(before, after)
        made = commit(self.desk.root)
        git(self.desk.root, "push", "-q", "--force", "origin", "main")
        return made

    def push_failing(self, cause: str, rate: str) -> str:
        """Push a commit that fails.

        cause: a file that the launcher knows; rate: the learning rate that replaces 2.0e-3.
        """
        (self.desk.root / cause).touch()
        return self.push(("2.0e-3", rate))

    def reconcile(self, *arguments: str, **wanted: Any) -> Ending:
        """Look once, fetching."""
        words = ("reconcile", "--remote", "origin", *arguments)
        return self.launcher.call(self.agent.root, *words, **wanted)

    def report(self, *arguments: str) -> dict[str, Any]:
        """Look once and return the last line."""
        return reports(self.reconcile("--json", *arguments))[-1]

    def status(self) -> dict[str, Any]:
        """Return what the last look found."""
        return reports(self.launcher.call(self.agent.root, "reconcile", "--status", "--json"))[0]

    def trainings(self) -> int:
        """Return how often training was begun in the loop's clone."""
        reader = self.agent.store().read()
        try:
            return len(reader.operations(kind="training_plan"))
        finally:
            reader.close()


def reports(ending: Ending) -> list[dict[str, Any]]:
    """Return the reports that a call printed."""
    assert ending.is_clean(), ending.said
    return [json.loads(line) for line in ending.out.splitlines()]


def stand(report: dict[str, Any]) -> str:
    """Return sync and health of a report."""
    return f"{report['sync']['status']}/{report['health']['status']}"


def codes(report: dict[str, Any]) -> list[str]:
    """Return the codes of a report's conditions."""
    return [item["code"] for item in report["conditions"]]
