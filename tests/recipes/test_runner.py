"""What a script passes to the runner of its job: outputs and log lines."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import inert, write_output

_BREAKS = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_COMMANDS = ("::error::x", "##[add-path]/tmp", "##vso[task.setvariable]x", "::stop-commands::y")
_hostile = st.lists(
    st.sampled_from(
        [*_COMMANDS, "\n", "\r", "\u2028", "\x85", "\v", " ", "#", "[", "::", "\x1b[2K"]
    )
    | st.text(max_size=3)
).map("".join)


def is_command(line: str) -> bool:
    """Whether the runner takes a line for a command, of the new form or of the old."""
    return line.lstrip().startswith("::") or "##[" in line or "##vso[" in line


@pytest.mark.case("RND-02")
@given(_hostile)
def test_no_line_from_outside_is_a_command(text: str) -> None:
    shown = inert(text)
    assert not any(is_command(line) for line in _BREAKS.split(shown))
    assert all(line.startswith("| ") for line in shown.split("\n")[:-1])


@pytest.mark.case("RND-03")
def test_control_characters_are_shown() -> None:
    assert inert("a\x1b[2Kb\u202ec\td") == "| a\\u{001B}[2Kb\\u{202E}c\td\n"


@pytest.mark.case("RND-02")
def test_value_cannot_end_its_own_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    drawn = iter(["guessed", "guessed", "fresh"])
    write_output("verdict", "fine\nend-guessed\nhas-changes=false", lambda: next(drawn))
    assert (tmp_path / "output").read_text() == (
        "verdict<<end-fresh\nfine\nend-guessed\nhas-changes=false\nend-fresh\n"
    )


def test_delimiters_are_drawn_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    write_output("a", "1")
    write_output("b", "2")
    found = re.findall(r"<<end-([0-9a-f]{32})\n", (tmp_path / "output").read_text())
    assert len(set(found)) == 2
