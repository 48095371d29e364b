"""Whether a tokenizer file may be loaded: tried in a process of its own before any other does."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from brewslm.errors import RefusedError
from brewslm.fingerprint import digest_file

MAX_BYTES = 64 << 20
_PROGRAM = Path(__file__).with_name("tokenizer_program.py")
_tried: set[str] = set()
"""Digests of the files that this process found to be in order."""


def try_tokenizer(path: Path) -> None:
    """Refuse a tokenizer file that takes too much to load or to use, or that loses whole texts.

    Raises: RefusedError with base_refused.
    """
    if path.stat().st_size > MAX_BYTES:
        raise refused(f"more than {MAX_BYTES} bytes")
    digest = digest_file(path)
    if digest in _tried:
        return
    done = subprocess.run(
        [sys.executable, "-I", str(_PROGRAM), str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"TOKENIZERS_PARALLELISM": "false"},
        check=False,
    )
    if done.returncode == -signal.SIGXCPU:
        raise refused("it takes more than 10 s of processor time for a dozen texts")
    if done.returncode:
        raise refused("it cannot be loaded, or not used for a dozen texts, within 2 GiB of memory")
    if not all(json.loads(done.stdout)):
        raise refused("it has no tokens for plain text")
    _tried.add(digest)


def refused(found: str) -> RefusedError:
    """Return the error that names what is wrong with a tokenizer."""
    return RefusedError(
        "the tokenizer of the base model is refused",
        code="base_refused",
        found=found,
        expected="a tokenizer file that loads and encodes any text within 10 s and 2 GiB",
        remedy="fetch the model again, or take another one",
    )
