"""Of equal rows one stays, whatever their order: the one that comparing all of them chooses."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewslm.rows.dataset import CleaningSpec, LeakCheckSpec, SplitSpec
from tests.rows.composing import lines_of, prepared, rows_of, source, write_rows

ROLES = {"a": "raw", "b": "synthetic", "gold": "gold_test", "y": "train", "z": "test"}
UNCHECKED = LeakCheckSpec(exact=False, group=False, ngram=0, near=None)
WRITTEN = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.sampled_from(["one", "two", "three"]),
            "label": st.just("x"),
            "site": st.sampled_from(["s1", "s2"]),
            "review_status": st.sampled_from(["approved", "open"]),
        }
    ),
    max_size=5,
)


@settings(max_examples=40)
@given(st.fixed_dictionaries(dict.fromkeys(ROLES, WRITTEN)))
def test_the_row_that_stays_is_the_first_by_role_source_hold_tags_and_line(
    written: dict[str, list[dict[str, str]]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, rows in written.items():
            write_rows(root / f"{name}.jsonl", rows)
        result = prepared(
            root,
            *(source(name, role) for name, role in ROLES.items()),
            leak_check=UNCHECKED,
            tag_columns=("site",),
        )
        index = lines_of(root / "out", "index.jsonl")
        rejected = lines_of(root / "out", "rejected.jsonl")
    stays: dict[tuple[bool, str], tuple[bool, str, bool, str, int]] = {}
    for name, rows in written.items():
        for line, row in enumerate(rows, start=1):
            is_held = name == "b" and row["review_status"] == "open"
            rank = (name != "z", name, is_held, row["site"], line)
            home = name == "gold", row["text"]
            stays[home] = min(stays.get(home, rank), rank)
    found = {(line["source"], line["line"]) for line in index if not line["is_duplicate"]}
    assert found == {(name, line) for _, name, _, _, line in stays.values()}
    total = result.manifest["accounting"]["total"]
    assert total["duplicates"] == total["read"] - len(stays) == len(rejected)
    kept = {line["row_id"] for line in index if not line["is_duplicate"]}
    assert {(line["kind"], line["reason_code"]) for line in rejected} <= {
        ("duplicate", "duplicate")
    }
    assert {line["of_row_id"] for line in rejected} <= kept
    homes = {(line["source"] == "gold", line["row_id"]): line["split"] for line in index}
    assert all(homes[line["source"] == "gold", line["row_id"]] == line["split"] for line in index)


def test_rows_that_are_kept_twice_are_no_duplicates(tmp_path: Path) -> None:
    write_rows(tmp_path / "tickets.jsonl", rows_of(20) * 2)
    result = prepared(tmp_path, source(), cleaning=CleaningSpec(dedupe="off"), leak_check=UNCHECKED)
    total = result.manifest["accounting"]["total"]
    assert (total["accepted"], total["duplicates"]) == (40, 0)


@pytest.mark.parametrize("role", ["test", "gold_test"])
def test_near_duplicates_of_evaluation_rows_are_not_held(tmp_path: Path, role: str) -> None:
    text = " ".join(f"word{number}" for number in range(40))
    ends = [f"{text}{end}" for end in ("", " end", " ends", " ended")]
    write_rows(tmp_path / "tickets.jsonl", [*rows_of(20), {"text": ends[0], "label": "a"}])
    write_rows(tmp_path / "other.jsonl", [{"text": end, "label": "a"} for end in ends[1:]])
    result = prepared(
        tmp_path,
        source(role="train"),
        source("other", role),
        split=SplitSpec(train=1.0, validation=0.0, test=0.0),
        cleaning=CleaningSpec(dedupe="near"),
        leak_check=UNCHECKED,
    )
    assert result.manifest["splits"]["held"] == 0
    assert result.manifest["splits"][role] == 3
