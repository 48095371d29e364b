"""The memory of the host is what a plan has to fit."""

import os

import pytest

from tests.apply.bench import Bench
from tests.cli.conftest import Run


@pytest.mark.case("PLN-17")
def test_plan_is_refused_on_a_host_that_is_too_small(
    bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": (256 << 20) // 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    answer = run("plan", "--json")
    assert answer.code == 6
    found = [item for item in answer.document["findings"] if item["code"] == "DOES_NOT_FIT"]
    assert [item["expected"] for item in found] == ["at most 256 MiB"]
    assert answer.document["is_applyable"] is False
    refused = run("apply", "--auto-approve")
    assert refused.code == 6
    assert bench.promoted() is None


def test_plan_fits_an_ordinary_host(
    bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (bench.root / "brewslm.yaml").exists()
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": (8 << 30) // 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    answer = run("plan", "--json")
    assert answer.code == 0
    assert "DOES_NOT_FIT" not in answer.out
