"""The Hub's cache is looked for where huggingface_hub puts it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from brewslm.plan.hub_cache import hub_folder

_ASK = "from huggingface_hub import constants; print(constants.HF_HUB_CACHE)"


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"XDG_CACHE_HOME": "/cache"},
        {"XDG_CACHE_HOME": "~/cache"},
        {"HF_HOME": "/hf", "XDG_CACHE_HOME": "/cache"},
        {"HF_HOME": "~/hf"},
        {"HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/hf"},
        {"HUGGINGFACE_HUB_CACHE": "~/old/$WHERE"},
        {"HF_HUB_CACHE": "/new", "HUGGINGFACE_HUB_CACHE": "/old"},
        {"HF_HUB_CACHE": "$WHERE/${WHERE}/$UNSET/${UNSET}"},
    ],
)
def test_folder_is_the_librarys_own(variables: dict[str, str], tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "WHERE": "/there", "PATH": os.environ["PATH"]} | variables
    done = subprocess.run(
        [sys.executable, "-c", _ASK], env=environment, capture_output=True, text=True, check=True
    )
    assert str(hub_folder(environment)) == str(Path(done.stdout.strip()))


def test_without_a_home_the_root_is_taken() -> None:
    assert hub_folder({}) == Path("/.cache/huggingface/hub")
