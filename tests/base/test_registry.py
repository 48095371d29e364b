"""Registries and doors."""

from pathlib import Path

import pytest

from brewslm.errors import BrewError
from brewslm.registry import Registry, UnknownNameError, closest, open_door


@pytest.fixture
def things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[str]:
    package = tmp_path / "registry_of_things"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "_private.py").write_text("THING = 'hidden'")
    (package / "second.py").write_text("THING = 'two'")
    (package / "first.py").write_text("raise ImportError('a missing driver')")
    monkeypatch.syspath_prepend(str(tmp_path))
    return Registry("registry_of_things", "THING", "thing")


def test_names_are_listed_without_importing(things: Registry[str]) -> None:
    assert things.names() == ("first", "second")
    assert things.load("second") == "two"


def test_one_broken_module_is_nobody_elses_trouble(things: Registry[str]) -> None:
    with pytest.raises(ImportError, match="a missing driver"):
        things.load("first")
    assert things.load("second") == "two"


def test_unknown_name_gets_the_closest_match(things: Registry[str]) -> None:
    with pytest.raises(UnknownNameError) as caught:
        things.load("secnd")
    assert caught.value.suggestions == ("second",)
    assert "second" in caught.value.remedy


def test_closest_ignores_case_and_ranks() -> None:
    assert closest("Learning_Rte", ["learning_rate", "lora_r", "seed"])[0] == "learning_rate"
    assert closest("zzz", ["learning_rate"]) == ()


@pytest.mark.parametrize(
    "door", ["os:system", "brewslm_evil.x:run", "brewslm.registry", "brewslm.registry:a.b", ":run"]
)
def test_doors_outside_the_package_stay_shut(door: str) -> None:
    with pytest.raises(BrewError) as caught:
        open_door(door)
    assert caught.value.code == "worker_protocol_error"


def test_door_opens_a_function_of_the_package() -> None:
    assert open_door("brewslm.registry:closest") is closest
