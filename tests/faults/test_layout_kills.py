"""`fmt` killed anywhere leaves the manifest as it was or as it becomes, with every word in it."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.apply.bench import Bench
from tests.faults.calls import Launcher

_OPTIMIZER = "      optimizer: adamw_torch\n"
_DATASET = "  dataset: {leak_check: {near: null, ngram: 0}}\n"
_TEXTS = f"""\
  dataset:
    system_prompt: |+
        # no comment, and kept

          deeper\x20\x20

    leak_check: {{near: null, ngram: 0}}
    description: >-
        {"long " * 90}
"""


@pytest.mark.case("YAM-16")
def test_manifest_is_the_old_or_the_new_one_wherever_fmt_is_killed(
    folder: Path, launcher: Launcher, tell: Callable[[str], None]
) -> None:
    bench = Bench.make(folder / "layout" / "project")
    bench.edit(_OPTIMIZER, f"      # chosen by hand\n{_OPTIMIZER}")
    bench.edit(_DATASET, _TEXTS)
    log = folder / "layout" / "points"
    before = _manifest(bench.root)
    done = _copy(bench, "whole")
    trouble = {"kind": "count", "at": 0, "log": str(log)}
    assert launcher.call(done, "fmt", trouble=trouble).code == 0
    points, after = len(log.read_text().splitlines()), _manifest(done)
    assert after != before
    assert all(kept in after for kept in ("# chosen by hand", "# no comment", "  deeper  \n"))
    assert points >= 4
    seen = set()
    for point in range(points):
        copy = _copy(bench, f"killed.{point}")
        ending = launcher.call(copy, "fmt", trouble={"kind": "kill", "at": point})
        assert ending.code == -signal.SIGKILL
        seen.add(_manifest(copy))
        assert launcher.call(copy, "fmt").code == 0
        assert _manifest(copy) == after
        assert "is in canonical layout" in launcher.call(copy, "fmt").err
    tell(f"kill sweep, fmt: {points} kills")
    assert seen == {before, after}


def _copy(bench: Bench, name: str) -> Path:
    return Path(shutil.copytree(bench.root, bench.root.with_name(name)))


def _manifest(project: Path) -> str:
    return (project / "brewslm.yaml").read_text()
