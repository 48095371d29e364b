"""Tests of the accelerator: `pytest -m gpu tests/engine/gpu`, under five minutes on one GPU.

Each body also runs on the processor, marked slow, so that what a machine with a GPU will run has
been run before.
"""

import os

import pytest

from brewslm.platform_facts import Device, Sources, choose, cpu, devices
from tests.engine.loaded.conftest import prepared, renderer, training_job

__all__ = ["prepared", "renderer", "training_job"]


@pytest.fixture(
    params=[
        pytest.param("cpu", marks=pytest.mark.slow),
        pytest.param("cuda", marks=pytest.mark.gpu),
    ]
)
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Device:
    """Return the device that the engine computes on, in this process and in those it starts."""
    chosen = found(str(request.param))
    kept = {name: value for name, value in os.environ.items() if name.startswith("BREWSLM")}
    for name, value in chosen.shown_alone(kept).items():
        if request.param == "cuda" or not name.endswith("DEVICES"):
            monkeypatch.setenv(name, value)  # hidden devices would stay hidden from later tests
    return chosen


def found(kind: str) -> Device:
    """Return the device of a kind; a test that asks for one that is not here fails."""
    sources = Sources(environment=os.environ)
    chosen = choose(kind, devices(sources), cpu(sources))
    assert chosen is not None, f"no {kind} device that torch was built for"
    return chosen
