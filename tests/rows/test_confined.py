"""Programs of strangers run without secrets, within limits, and with the parent's packages."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import brewslm
from brewslm.rows import confined
from brewslm.rows.confined import Confined, EndedError

_ROOT = Path(brewslm.__path__[0]).parent
_SAYS = """\
import json, os, sys
def main():
    for line in sys.stdin:
        print(json.dumps([dict(os.environ), sys.path, line.strip()]), flush=True)
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of packages that this process imports from."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def _package(folder: Path, name: str, text: str) -> str:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(text)
    return name


@pytest.mark.case("SEC-06")
def test_variables_and_packages_are_those_that_are_needed(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_TOKEN", "canary")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/nowhere")
    process = Confined(_package(programs, "says", _SAYS), ["jinja2"])
    variables, path, said = process.ask(b"[1]")
    process.close()
    assert variables.keys() - {"LC_CTYPE"} == {"PATH", "LD_LIBRARY_PATH", "TOKENIZERS_PARALLELISM"}
    assert str(programs) in path
    assert said == "[1]"


def test_library_that_only_this_process_finds_is_found(programs: Path) -> None:
    _package(programs, "brought", "WORD = 'brought along'\n")
    text = "import sys\nimport brought\ndef main():\n    print(repr([1]), flush=True)\n"
    process = Confined(_package(programs, "imports", text), ["brought"])
    assert process.ask(b"1") == [1]
    process.close()


def test_library_that_is_missing_is_an_import_error(programs: Path) -> None:
    _package(programs, "imports", "import nowhere_at_all\n")
    with pytest.raises(ImportError, match="no package nowhere_at_all"):
        Confined("imports", ["nowhere_at_all"])
    process = Confined("imports", [])
    with pytest.raises(ImportError, match="No module named 'nowhere_at_all'"):
        process.ask(b"1")
    process.close()


def test_interrupt_of_the_terminal_is_left_to_the_parent(programs: Path) -> None:
    process = Confined(_package(programs, "says", _SAYS), [])
    process.ask(b"1")
    os.kill(process.pid, signal.SIGINT)
    assert process.ask(b"2")[2] == "2"
    process.close()


_ENDINGS = {
    "raises": ("def main():\n    raise ValueError('torn\\napart')\n", "apart"),
    "exits": ("import os\ndef main():\n    os._exit(7)\n", "exit status 7"),
    "killed": ("import os\ndef main():\n    os.kill(os.getpid(), 15)\n", "SIGTERM"),
    "sleeps": ("import time\ndef main():\n    time.sleep(60)\n", "no answer within 0 s"),
    "tears": ("import os\ndef main():\n    os.write(1, b'[1')\n", "exit status 0"),
}


@pytest.mark.parametrize("name", _ENDINGS)
def test_process_that_ends_says_how(
    programs: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    text, found = _ENDINGS[name]
    if name == "sleeps":
        monkeypatch.setattr(confined, "_STALL_S", 0.3)
    process = Confined(_package(programs, name, text), [])
    with pytest.raises(EndedError) as caught:
        process.ask(b"1")
    assert found in str(caught.value)
    assert not caught.value.is_over_cpu


_LIMITED = """\
import json, resource
from brewslm.rows.limits import allow_cpu, limit_memory
limit_memory(2 << 30)
allow_cpu(10)
allow_cpu(20)
print(json.dumps([resource.getrlimit(kind) for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU)]))
"""


@pytest.mark.parametrize(
    ("shell", "memory_bytes", "cpu_s"),
    [("", 2 << 30, None), ("ulimit -v 1000000; ulimit -t 7;", 1_000_000 << 10, 7)],
)
def test_limits_stay_below_those_that_are_there(
    shell: str, memory_bytes: int, cpu_s: int | None
) -> None:
    done = subprocess.run(
        ["bash", "-c", f'{shell} exec "$0" -c "$1"', sys.executable, _LIMITED],
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    memory, cpu = json.loads(done.stdout)
    assert memory == [memory_bytes] * 2
    assert cpu == ([cpu_s] * 2 if cpu_s else [21, -1])


def test_limits_that_are_there_refuse_no_tokenizer(tmp_path: Path) -> None:
    counted = (
        "import sys\n"
        "from brewslm.rows.confined_tokens import ConfinedTokenCounter\n"
        "print(ConfinedTokenCounter(sys.argv[1])(['ten lamps']))\n"
    )
    nano = _ROOT / "brewslm" / "builtin" / "nano" / "tokenizer.json"
    shell = 'ulimit -v 1900000; ulimit -t 8; exec "$0" -c "$1" "$2"'
    done = subprocess.run(
        ["bash", "-c", shell, sys.executable, counted, str(nano)],
        env={**os.environ, "PYTHONPATH": str(_ROOT), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0] > 0


@pytest.mark.slow
def test_process_that_takes_too_long_is_told_from_others(programs: Path) -> None:
    text = (
        "from brewslm.rows.limits import Allowance, allow_cpu\n"
        "def main():\n"
        "    allow_cpu(1)\n"
        "    Allowance(1, 1 << 10).grow(16)\n"
        "    while True: pass\n"
    )
    process = Confined(_package(programs, "spins", text), ["brewslm"])
    with pytest.raises(EndedError) as caught:
        process.ask(b"1")
    assert caught.value.is_over_cpu
