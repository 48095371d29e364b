"""`show FILE --validate --markdown`: a plan from anybody is data, and the comment is inert."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brewslm.fingerprint import canonical_json, digest_value
from brewslm.render.markdown import weight
from tests.apply.bench import Bench
from tests.cli.conftest import Run
from tests.cli.repository import begin
from tests.render.test_markdown import HOSTILE, assert_sound

pytestmark = pytest.mark.case("UNT-08")
Document = dict[str, Any]
_CONSTANT = frozenset(
    {"format_version", "operation", "category", "mode", "label", "kind", "source"}
)


@pytest.fixture
def saved(applied: Bench, run: Run) -> Path:
    """Return a saved plan with a bit of everything."""
    (applied.root / "brewslm.policy.yaml").write_text("licenses: {allow: {value: [mit]}}\n")
    base = begin(applied.root)
    applied.edit("threshold: 0.8", "threshold: 0.7")
    applied.edit("num_epochs: 2", "num_epochs: 3")
    applied.edit("[adapter, safetensors]", "[adapter]")
    path = applied.root / "a.plan.json"
    run("plan", "--against", base, "--out", path)
    return path


def write(path: Path, document: Document) -> None:
    """Write a plan whose digest fits whatever it says."""
    body = {name: value for name, value in document.items() if name != "digest"}
    path.write_bytes(canonical_json({**body, "digest": digest_value(body)}))


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield value, key
        if isinstance(item, dict | list):
            yield from places(item)


def test_it_is_checked_and_rendered_into_a_file(saved: Path, run: Run) -> None:
    assert run("show", saved, "--validate").code == 6, "the plan itself carries a refusal"
    out = saved.with_name("comment.md")
    answer = run("show", saved, "--validate", "--markdown", "--out", out)
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    comment = out.read_text()
    assert comment.splitlines()[1].startswith("**Refused, 2 errors")
    assert_sound(comment)


def test_it_is_cut_to_the_size_that_is_asked_for(saved: Path, run: Run) -> None:
    full = run("show", saved, "--markdown").out
    cut = run("show", saved, "--validate", "--markdown", "--max-chars", "4000").out
    assert weight(cut) <= 4000 < weight(full)
    assert cut.splitlines()[:2] == full.splitlines()[:2]
    assert cut.splitlines()[-1] == full.splitlines()[-1]
    assert_sound(cut)
    run("show", saved, "--markdown", "--max-chars", "10").says(1, "--max-chars")


def test_markup_in_each_text_is_inert(saved: Path, run: Run) -> None:
    document = saved.read_text()
    names = {
        str(key) for holder, key in places(json.loads(document)) if isinstance(holder[key], str)
    }
    free = names - {*_CONSTANT, "severity", "address", "target"}
    asked = [(text, free) for text in HOSTILE] + [(HOSTILE[1], {name}) for name in sorted(names)]
    rendered = 0
    for text, wanted in asked:
        evil = json.loads(document)
        for holder, key in list(places(evil)):
            if isinstance(holder[key], str) and str(key) in wanted:
                holder[key] = text
        write(saved, evil)
        answer = run("show", saved, "--validate", "--markdown")
        answer.says(answer.code)
        if answer.code == 0:
            rendered += 1
            assert_sound(answer.out)
    assert rendered >= len(HOSTILE)


@pytest.mark.parametrize("key", ["address", "target", "severity", "kind", "operation", "category"])
def test_text_where_a_name_belongs_is_inert_or_refused(key: str, saved: Path, run: Run) -> None:
    evil = json.loads(saved.read_text())
    for holder, name in list(places(evil)):
        if name == key and isinstance(holder[name], str):
            holder[name] = HOSTILE[1]
    write(saved, evil)
    answer = run("show", saved, "--validate", "--markdown")
    if answer.code:
        answer.says(1, "error[plan_unreadable]")
    else:
        assert_sound(answer.out)


def test_another_type_in_any_place_is_inert_or_refused(saved: Path, run: Run) -> None:
    text = saved.read_text()
    spots = len(list(places(json.loads(text))))
    refused = 0
    for number in range(0, spots, spots // 80):
        document = json.loads(text)
        holder, key = list(places(document))[number]
        holder[key] = [None, 7, "x", [], {}, ["<b>"], {"<b>": {}}, True][number % 8]
        write(saved, document)
        answer = run("show", saved, "--validate", "--markdown")
        answer.says(answer.code)
        refused += answer.code
        if answer.code == 0:
            assert_sound(answer.out)
        else:
            assert "error[plan_unreadable]" in answer.err
        assert run("show", saved).code in (0, 1)
    assert refused > 0


def test_another_content_than_its_digest_says(saved: Path, run: Run) -> None:
    saved.write_text(saved.read_text().replace("parcels", "parcelz"))
    run("show", saved, "--validate", "--markdown").says(4, "plan_digest_mismatch")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"summary": {"create": 0, "update": 0, "noop": 11, "delete": 0}}, "summary"),
        ({"is_applyable": True}, "can be applied"),
        ({"format_version": "2.0"}, "format 2.0"),
        ({"actions": "none"}, "actions"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(
    change: Document, found: str, saved: Path, run: Run
) -> None:
    write(saved, json.loads(saved.read_text()) | change)
    run("show", saved, "--validate").says(1, "error[plan_unreadable]", found)


def test_a_newer_minor_with_unknown_fields_is_rendered(saved: Path, run: Run) -> None:
    newer = {"format_version": "1.9", "greeting": "<b>@org</b>"}
    write(saved, json.loads(saved.read_text()) | newer)
    answer = run("show", saved, "--validate", "--markdown")
    assert answer.code == 0
    assert "greeting" not in answer.out


@pytest.mark.usefixtures("bench")
def test_what_is_no_plan_is_refused(tmp_path: Path, run: Run) -> None:
    huge, deep, pipe = (tmp_path / f"{name}.json" for name in ("huge", "deep", "pipe"))
    with huge.open("wb") as stream:
        stream.truncate(2 << 30)
    deep.write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    os.mkfifo(pipe)
    for path, found in ((huge, "64 MiB"), (deep, "nesting_too_deep"), (pipe, "pipe")):
        answer = run("show", path, "--validate", "--markdown")
        answer.says(1, "error[plan_unreadable]", found.split("_")[0])
