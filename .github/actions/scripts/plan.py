"""The plan of a pull request's files, made without trust in them.

    plan.py --python PYTHON --source FOLDER --directory FOLDER [--manifest FILE] [--against COMMIT]
            [--snapshot FILE] --out FOLDER

Leaves `plan.json` and `plan.md` in the folder of --out, shows the plan in the job's summary, and
ends as the plan ends: pending changes are a success. Outputs: `exit-code`, `has-changes` and
`verdict`, the plan in one line.
"""

import argparse
import os
import sys
from pathlib import Path

from runner import RecipeError, called, ended, write_output

_CHANGES_PENDING = 2


def main() -> int:
    """Make the plan, tell it, and return the exit code of the step."""
    parser = argparse.ArgumentParser()
    for name in ("--python", "--source", "--directory", "--out"):
        parser.add_argument(name, required=True)
    for name in ("--manifest", "--against", "--snapshot"):
        parser.add_argument(name, default="")
    given = parser.parse_args()
    out = Path(given.out).absolute()
    out.mkdir(parents=True, exist_ok=True)
    project = _inside(Path(given.source).resolve(), given.directory)
    files = {"--out": out / "plan.json", "--markdown": out / "plan.md"}
    optional = {"--against": given.against, "--state-snapshot": given.snapshot}
    arguments = ["--chdir", str(project), "--no-color"]
    arguments += ["--manifest", given.manifest] if given.manifest else []
    arguments += ["plan", "--untrusted", "--detailed-exitcode"]
    for flag, value in {**files, **optional}.items():
        arguments += [flag, str(value)] if value else []
    code = called(given.python, arguments, out)
    markdown = files["--markdown"].read_text("utf-8") if files["--markdown"].exists() else ""
    _summarise(markdown)
    write_output("exit-code", str(code))
    write_output("has-changes", "true" if code == _CHANGES_PENDING else "false")
    write_output("verdict", verdict_of(markdown))
    return 0 if code == _CHANGES_PENDING else code


def verdict_of(markdown: str) -> str:
    """Return the verdict of a plan's Markdown: its first visible line."""
    lines = (line for line in markdown.splitlines() if line and not line.startswith("<!--"))
    return next(lines, "no plan").removeprefix("**").removesuffix("**")


def _inside(source: Path, directory: str) -> Path:
    """Return the project's folder, which no link leads out of the source."""
    project = (source / directory).resolve()
    if not project.is_relative_to(source) or not project.is_dir():
        raise RecipeError(f'there is no folder "{directory}" in this commit')
    return project


def _summarise(markdown: str) -> None:
    target = os.environ.get("GITHUB_STEP_SUMMARY")
    if target and markdown:
        with Path(target).open("a", encoding="utf-8") as stream:
            stream.write(f"{markdown}\n")


if __name__ == "__main__":
    sys.exit(ended(main))
