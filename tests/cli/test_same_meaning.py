"""A manifest that is written another way means the same: nothing is planned, nothing is done."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from ruamel.yaml import YAML

from brewslm.manifest.load import load_manifest
from tests.apply.bench import MANIFEST, Bench
from tests.cli.conftest import Doubles, Run


def _read(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def _dumped(document: Any, **settings: Any) -> str:
    yaml = YAML()
    for name, value in settings.items():
        setattr(yaml, name, value)
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


def _turned(value: Any) -> Any:
    """Return a value with the keys of every mapping the other way round."""
    if isinstance(value, dict):
        return {key: _turned(item) for key, item in reversed(value.items())}
    return [_turned(item) for item in value] if isinstance(value, list) else value


def _with_turned_lists(text: str) -> str:
    document = _read(text)
    document["spec"]["data_sources"].reverse()
    document["spec"]["export"]["formats"].reverse()
    return json.dumps(document)


def _commented(text: str) -> str:
    return "# top\n\n" + "\n\n".join(f"{line}   # said" for line in text.splitlines()) + "\n# end"


def _with_alias(text: str) -> str:
    return text.replace("name: parcels,", "name: &word parcels,").replace(
        "description: sorts complaints", "description: sorts complaints, labels: {a: *word}"
    )


_FORMS: dict[str, Callable[[str], str]] = {
    "windows lines": lambda text: text.replace("\n", "\r\n"),
    "no last line end": lambda text: text.removesuffix("\n"),
    "byte order mark": lambda text: "\ufeff" + text,
    "comments": _commented,
    "other blanks": lambda text: (
        text.replace(": {", ":    {").replace("{", "{ ").replace("}", " }")
    ),
    "flow": lambda text: json.dumps(_read(text)),
    "flow over many lines": lambda text: json.dumps(_read(text), indent=3),
    "block": lambda text: _dumped(_read(text), default_flow_style=False),
    "quotes": lambda text: text.replace("parcels", "'parcels'").replace("raw", '"raw"'),
    "a folded text": lambda text: text.replace(
        "{name: parcels, description: sorts complaints}",
        "\n  name: parcels\n  description: >-\n    sorts\n    complaints",
    ),
    "turned keys": lambda text: json.dumps(_turned(_read(text))),
    "turned lists": _with_turned_lists,
    "numbers": lambda text: text.replace("2.0e-3", "0.002").replace("0.8,", "0.80,"),
    "a tag": lambda text: text.replace("num_epochs: 2", "num_epochs: !!float 2"),
    "defaults written out": lambda text: text.replace("builtin:nano}", "builtin:nano, license: ~}"),
}


@pytest.mark.case("YAM-14")
@pytest.mark.parametrize("form", _FORMS)
def test_another_way_of_writing_does_nothing(
    form: str, applied: Bench, run: Run, doubles: Doubles
) -> None:
    before, planned = load_manifest(applied.root).digest, applied.built().plan
    serial = run("state", "pull").document["serial"]
    text = _FORMS[form](MANIFEST)
    assert text != MANIFEST
    (applied.root / "brewslm.yaml").write_bytes(text.encode())
    assert load_manifest(applied.root).digest == before
    assert run("plan", "--detailed-exitcode").code == 0
    assert applied.built().plan.actions == planned.actions
    applying = run("apply", "--auto-approve")
    assert (applying.code, doubles.doors) == (0, [])
    assert "Nothing had to be done." in applying.out
    assert run("state", "pull").document["serial"] == serial
    assert run("fmt").code == 0
    assert load_manifest(applied.root).digest == before


@pytest.mark.case("YAM-14")
def test_an_alias_says_what_the_word_says(applied: Bench, run: Run, doubles: Doubles) -> None:
    path = applied.root / "brewslm.yaml"
    path.write_text(_with_alias(MANIFEST))
    aliased = load_manifest(applied.root).digest
    assert run("apply", "--auto-approve").code == 0
    path.write_text(path.read_text().replace("&word ", "").replace("*word", "parcels"))
    assert load_manifest(applied.root).digest == aliased
    assert run("plan", "--detailed-exitcode").code == 0
    assert doubles.doors == []


_ACCURACY = "{metric_id: accuracy, threshold: 0.5}"
_MACRO_F1 = "{metric_id: macro_f1, threshold: 0.5}"


@pytest.mark.parametrize(
    ("written", "turned"),
    [
        (f"gates: [{_ACCURACY}, {_MACRO_F1}]", f"gates: [{_MACRO_F1}, {_ACCURACY}]"),
        ("eval_types: [accuracy, macro_f1]", "eval_types: [macro_f1, accuracy]"),
        ("datasets: [gold_test, gold_dev]", "datasets: [gold_dev, gold_test]"),
    ],
    ids=["gates", "metrics", "sets"],
)
def test_turned_lists_of_the_evaluation_ask_no_model(
    written: str, turned: str, bench: Bench, run: Run, doubles: Doubles
) -> None:
    start, gates, rest = MANIFEST.partition("    gates:\n")
    own = "" if written.startswith("gates") else gates + rest.partition("  export:")[0]
    text = f"{start}    {written}\n{own}  export:{rest.partition('  export:')[2]}"
    path = bench.root / "brewslm.yaml"
    path.write_text(text)
    assert run("apply", "--auto-approve").code == 0
    doubles.started.clear()
    path.write_text(text.replace(written, turned))
    planned = run("plan")
    assert "# eval_pack will be updated" in planned.out
    assert "training_plan" not in planned.out
    assert run("apply", "--auto-approve").code == 0
    assert not {door for door in doubles.doors if "score" not in door}
    assert run("plan", "--detailed-exitcode").code == 0
    path.write_text(text)
    assert run("apply", "--auto-approve").code == 0
    assert not {door for door in doubles.doors if "score" not in door}


MAPPED = MANIFEST.replace("type: raw,", "type: raw, adapter: labels,").replace(
    "  dataset:",
    "  adapters: [{name: labels, base_adapter_id: label_to_classification}]\n  dataset:",
)
_MOVES: dict[str, tuple[tuple[str, str], ...]] = {
    "source": (("name: rows,", "name: complaints,"),),
    "adapter": (("adapter: labels", "adapter: kinds"), ("name: labels,", "name: kinds,")),
    "file": (("data/rows.jsonl", "data/complaints.jsonl"),),
    "locator": (("file_path: data/rows.jsonl", '"locator": "jsonl:data/rows.jsonl"'),),
    "project": (("name: parcels,", "name: desk,"),),
}


@pytest.mark.parametrize("move", [*_MOVES, "all"])
def test_new_names_are_told_and_train_nothing(
    move: str, bench: Bench, run: Run, doubles: Doubles
) -> None:
    path = bench.root / "brewslm.yaml"
    path.write_text(MAPPED)
    assert run("apply", "--auto-approve").code == 0
    doubles.started.clear()
    chosen = [name for name in _MOVES if name != "locator"] if move == "all" else [move]
    for edit in (edit for name in chosen for edit in _MOVES[name]):
        bench.edit(*edit)
    if "file" in chosen:
        (bench.root / "data" / "rows.jsonl").rename(bench.root / "data" / "complaints.jsonl")
    planned = run("plan", "--detailed-exitcode")
    assert planned.code == 2
    assert "0 to create" in planned.out
    assert "0 to delete" in planned.out
    assert "training_plan" not in planned.out
    applying = run("apply", "--auto-approve")
    assert (applying.code, doubles.doors) == (0, [])
    assert run("plan", "--detailed-exitcode").code == 0
