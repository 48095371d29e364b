"""Every finding code is raised somewhere: an unused one is a promise without code."""

import re
from pathlib import Path

import brewslm
from brewslm.diagnostics import PREFLIGHT_CODES, FindingCode

ROOT = Path(brewslm.__path__[0])
NO_RAISING = ("diagnostics.py", "state/run_events.py")
"""Where codes are listed."""
TEXT = "\n".join(
    path.read_text(encoding="utf-8")
    for path in sorted(ROOT.rglob("*.py"))
    if not path.as_posix().endswith(NO_RAISING)
)


def test_every_code_is_raised_somewhere() -> None:
    named = set(re.findall(r"\b(?:FindingCode\.)?([A-Z][A-Z_]{3,})\b", TEXT))
    as_error = {name.upper() for name in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", TEXT)}
    assert sorted(str(code) for code in FindingCode if code not in named | as_error) == []


def test_refusals_are_codes_that_are_raised() -> None:
    assert set(FindingCode) >= PREFLIGHT_CODES
