"""Changed deciding rows against an obvious account of them: what came, went, moved and was edited,
and what the stored answers of the promoted model score on either side.
"""

import json
import random
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from brewslm.artifacts.memory import MemoryArtifacts
from brewslm.contracts import Output
from brewslm.plan.evaluation import Answering
from brewslm.plan.evaluation_shape import EvaluationShape
from brewslm.plan.gold_rows import RowsChanged, rows_changed
from brewslm.state.records import ResourceRecord
from brewslm.tasks.gate import Gate
from tests.state.states import resource

Row = dict[str, Any]
_LABELS = ("late", "lost", "torn")
_CANDIDATE, _OTHER = "sha256:candidate", "sha256:other"
_ROWS, _LORA = "dataset:gold_test", "training_plan:lora_adapter"
_ACCURACY = (Gate(metric_id="accuracy", threshold=0.8),)


def _row(question: int, label: str, source: str = "gold") -> Row:
    row_id = sha256(f"{question} {label}".encode()).hexdigest()
    messages = [
        {"role": "user", "content": f"Where is parcel {question}?"},
        {"role": "assistant", "content": label},
    ]
    return {
        "row_id": row_id,
        "messages": messages,
        "completion_from": 1,
        "inputs": {"text": str(question)},
        "reference": {"label": label},
        "tags": {},
        "source": source,
    }


def _answer(row: Row, output: str, **facts: Any) -> Row:
    said = {"output": output, "new_tokens": 3, "finish": "stop", "nll_sum": 1.0, "nll_tokens": 4}
    return {"row_id": row["row_id"], "epoch": 0, **said, **facts}


def _lines(items: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


class Judged:
    """What was recorded of an evaluation on some rows."""

    def __init__(self, folder: Path, old: Sequence[Row]) -> None:
        self.folder = folder
        self.artifacts = MemoryArtifacts()
        self.old = list(old)
        self.right = {row["row_id"]: at % 3 != 0 for at, row in enumerate(old)}
        self.record: ResourceRecord = resource(
            "eval_pack",
            kind="eval_pack",
            spec={"datasets": []},
            facts={"inputs": {_ROWS: self._put(old).digest, _LORA: _CANDIDATE}},
            values={"dataset": "gold_test"},
            outputs={},
        )
        wrong = {row["row_id"]: "no idea" for row in old}
        self.keep("scores.candidate", [{"row_id": row["row_id"], "slices": []} for row in old])
        said = [_answer(row, self.said(row)) for row in old]
        self.keep("predictions.candidate", said)
        self.keep("predictions.baseline", [_answer(row, wrong[row["row_id"]]) for row in old])
        self.shape = EvaluationShape(
            profile="classification",
            contract={"labels": list(_LABELS), "scoring_mode": "auto"},
            sets={"gold_test": None},
            decisive="gold_test",
            roles=("baseline", "candidate"),
            gates=_ACCURACY,
            policy={},
            answering=Answering("", {}, {}),
            promoted_digest=_CANDIDATE,
        )

    def said(self, row: Row) -> str:
        """Return what the candidate answers to a row that it was asked."""
        label = str(row["reference"]["label"])
        return label if self.right[row["row_id"]] else _LABELS[_LABELS.index(label) - 1]

    def _put(self, items: Sequence[Mapping[str, Any]]) -> Output:
        return self.artifacts.put_bytes(_lines(items))

    def keep(self, name: str, items: Sequence[Mapping[str, Any]]) -> None:
        """Record lines as an output of the evaluation on the deciding rows."""
        outputs = {**self.record.outputs, f"{name}.gold_test": self._put(items)}
        self.record = replace(self.record, outputs=outputs)

    def changed(
        self, new: Sequence[Row], train: Sequence[Row] = (), *, is_same_data: bool = False
    ) -> RowsChanged | None:
        """Compare with rows that are prepared now."""
        for name in ("gold_test", "gold_dev"):
            (self.folder / f"{name}.jsonl").write_bytes(_lines(new) + b"\n")
        index = [{"row_id": x["row_id"], "source": x["source"], "split": "gold_test"} for x in new]
        index += [{"row_id": x["row_id"], "source": "rows", "split": "train"} for x in train]
        (self.folder / "index.jsonl").write_bytes(_lines(index))
        return rows_changed(
            self.shape, self.record, self.folder, None, self.artifacts, is_same_data=is_same_data
        )

    def told(self, new: Sequence[Row], train: Sequence[Row] = ()) -> RowsChanged:
        """Compare with rows that differ."""
        changed = self.changed(new, train)
        assert changed is not None
        return changed


_OLD = [_row(number, _LABELS[number % 3]) for number in range(12)]


@pytest.fixture
def judged(tmp_path: Path) -> Judged:
    return Judged(tmp_path, _OLD)


def _account(judged: Judged, new: Sequence[Row], train: Sequence[Row]) -> dict[str, Any]:
    """Return what changed, row by row."""
    old_ids = {row["row_id"] for row in judged.old}
    new_ids = {row["row_id"] for row in new}
    went = [row for row in judged.old if row["row_id"] not in new_ids]
    came = [row for row in new if row["row_id"] not in old_ids]
    asked = [row["inputs"]["text"] for row in went]
    edited = sum(row["inputs"]["text"] in asked for row in came)
    in_train = [row["row_id"] for row in train]
    return {
        "rows": f"{len(old_ids)} -> {len(new_ids)}",
        "edited": edited or None,
        "removed": len(went) - edited or None,
        "added": len(came) - edited or None,
        "moved": sum(row["row_id"] in in_train for row in went) or None,
        "removed ids": sorted(row["row_id"][:12] for row in went) or None,
        "added ids": sorted(row["row_id"][:12] for row in came) or None,
        "in another slice": None,
    }


def _accuracy(judged: Judged, rows: Sequence[Row]) -> str:
    said = {row["inputs"]["text"]: judged.said(row) for row in judged.old}
    answered = [row for row in rows if row["inputs"]["text"] in said]
    right = [said[row["inputs"]["text"]] == row["reference"]["label"] for row in answered]
    part = "" if len(right) == len(rows) else f" on the {len(right)} that it has answered"
    value = f"{sum(right) / len(right):.4f}" if right else "nothing"
    return f"the promoted model scores accuracy {value}{part}"


@pytest.mark.parametrize("seed", range(12))
def test_every_row_is_accounted_for(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  no secret depends on it
    judged = Judged(tmp_path, _OLD)
    new, train = list[Row](), list[Row]()
    for row in judged.old:
        match chance.choice(["keep", "keep", "edit", "remove", "move"]):
            case "keep":
                new.append(row)
            case "edit":
                number = int(row["inputs"]["text"])
                new.append(_row(number, chance.choice(_LABELS)))
            case "move":
                train.append(row)
    new += [_row(100 + number, "late") for number in range(chance.randrange(3))]
    chance.shuffle(new)
    told = judged.told(new, train)
    scores = {"before": _accuracy(judged, judged.old), "after": _accuracy(judged, new)}
    expected = _account(judged, new, train)
    assert told.facts == expected | scores
    assert told.change.before == f"12 rows, where {scores['before']}"
    assert told.change.after.startswith(f"{len(new)} rows, where {scores['after']}; ")
    went, came = expected["removed ids"] or [], expected["added ids"] or []
    words = [f"{len(went)} removed"] * bool(went) + [f"{len(came)} added"] * bool(came)
    words += [f"{expected['edited']} of them edited"] * bool(expected["edited"])
    assert told.change.after.endswith(f"; {', '.join(words)} ({', '.join([*went, *came][:5])})")
    assert told.change.weakened


def test_question_that_stays_makes_no_edit_of_another_row(tmp_path: Path) -> None:
    twin = _row(0, "lost")
    judged = Judged(tmp_path, [*_OLD, twin])
    facts = judged.told(_OLD).facts
    assert (facts["edited"], facts["removed"]) == (None, 1)
    facts = judged.told([*judged.old, _row(0, "torn")]).facts
    assert (facts["edited"], facts["added"]) == (None, 1)
    facts = judged.told([*_OLD, _row(0, "torn")]).facts
    assert (facts["edited"], facts["added"], facts["removed"]) == (1, None, None)
    assert (
        "1 removed, 1 added, 1 of them edited" in judged.told([*_OLD, _row(0, "torn")]).change.after
    )


@pytest.mark.parametrize("new", [_OLD[1:], [*_OLD, _row(50, "late")], [*_OLD[1:], _row(0, "torn")]])
def test_other_rows_weaken_unless_the_data_are_the_same(judged: Judged, new: list[Row]) -> None:
    def is_weaker(*, is_same_data: bool = False) -> bool:
        changed = judged.changed(new, is_same_data=is_same_data)
        assert changed is not None
        return changed.change.weakened

    assert (is_weaker(), is_weaker(is_same_data=True)) == (True, False)
    judged.shape = replace(judged.shape, datasets=("gold",))
    assert is_weaker(is_same_data=True), "another choice of sources"
    judged.shape = replace(judged.shape, datasets=())
    for name, is_gold in (("gold_dev", True), ("test", False)):
        record = judged.record
        judged.record = replace(
            record,
            values={"dataset": name},
            facts={"inputs": {f"dataset:{name}": record.facts["inputs"][_ROWS]}},
            outputs={key.replace("gold_test", name): x for key, x in record.outputs.items()},
        )
        assert is_weaker() is is_gold
        judged.record = record


def test_same_rows_are_no_change_in_whatever_order(judged: Judged) -> None:
    assert judged.changed(_OLD[::-1], _OLD) is None
    judged.shape = replace(judged.shape, rows={"gold_test": judged.record.facts["inputs"][_ROWS]})
    assert judged.changed([]) is None, "the very file that decided, which is not read again"
    judged.shape = replace(judged.shape, sets={"gold_test": ("elsewhere",)})
    assert judged.told(_OLD).facts["removed"] == len(_OLD), "a part of that file"
    judged.shape = replace(judged.shape, sets={"gold_test": None, "gold_dev": None})
    judged.shape = replace(judged.shape, decisive="gold_dev")
    assert judged.told(_OLD[1:]).facts["removed"] == 1, "another file decides"


def test_record_without_the_digest_of_its_rows_is_compared_by_ids(judged: Judged) -> None:
    judged.record = replace(judged.record, facts={"inputs": {_LORA: _CANDIDATE}})
    assert judged.changed(_OLD) is None
    assert judged.told(_OLD[1:]).facts["removed"] == 1


def test_only_chosen_sources_decide(judged: Judged) -> None:
    judged.shape = replace(judged.shape, sets={"gold_test": ("easy", "gold")})
    more = [_row(60, "late", "easy"), _row(61, "late", "hard")]
    assert judged.told([*_OLD, *more]).facts["rows"] == f"{len(_OLD)} -> {len(_OLD) + 1}"


def test_rows_that_were_left_out_of_an_evaluation_score_nothing(judged: Judged) -> None:
    part = judged.old[:7]
    judged.keep("scores.candidate", [{"row_id": row["row_id"], "slices": []} for row in part])
    told = judged.told(judged.old)
    assert told.change.before == f"7 rows, where {_accuracy(judged, part)}"


def test_answers_are_those_of_the_model_that_is_promoted(judged: Judged) -> None:
    judged.shape = replace(judged.shape, promoted_digest=None)
    assert "the last evaluated model scores accuracy 0.6667" in judged.told(_OLD[1:]).change.before
    judged.shape = replace(judged.shape, promoted_digest=_OTHER)
    assert judged.told(_OLD[1:]).change.before == f"{len(_OLD)} rows", "no answers are kept"
    judged.keep("predictions.promoted", [_answer(row, "no idea") for row in _OLD])
    assert "the promoted model scores accuracy 0.0000" in judged.told(_OLD[1:]).change.before
    judged.shape = replace(judged.shape, promoted_digest=_CANDIDATE)
    assert "the promoted model scores accuracy 0.6667" in judged.told(_OLD[1:]).change.before


def test_first_of_several_answers_counts(judged: Judged) -> None:
    again = [_answer(row, "no idea", epoch=1) for row in _OLD]
    judged.keep("predictions.candidate", [*[_answer(x, judged.said(x)) for x in _OLD], *again])
    assert judged.told(_OLD[1:]).facts["before"] == _accuracy(judged, _OLD)


def _scored(judged: Judged, *gates: Gate, new: Sequence[Row] = _OLD[1:]) -> str:
    judged.shape = replace(judged.shape, gates=gates)
    return str(judged.told(new).facts["after"]).partition(" scores ")[2]


def test_metrics_are_those_of_required_gates(judged: Judged) -> None:
    optional = Gate(metric_id="accuracy", threshold=0.8, required=False)
    likely = Gate(metric_id="mean_nll", threshold=1.0, operator="lte")
    assert _scored(judged, optional, likely) == "mean_nll 0.2500"
    assert _scored(judged, optional).startswith("score_above_chance ")
    assert _scored(judged).startswith("score_above_chance ")
    unheard = Gate(metric_id="unheard_of", threshold=1.0)
    assert _scored(judged, likely, unheard, likely) == "mean_nll 0.2500"


def test_likelihood_of_an_edited_answer_is_not_known(judged: Judged) -> None:
    likely = Gate(metric_id="mean_nll", threshold=1.0, operator="lte")
    edited = [_row(number, _LABELS[(number + 2) % 3]) for number in range(2, 12)]
    assert _scored(judged, likely, new=edited) == "mean_nll nothing"


def test_baseline_that_failed_on_a_row_is_not_compared_there(judged: Judged) -> None:
    failed = [_answer(row, "", error_code="timed_out", nll_sum=90.0) for row in _OLD[:5]]
    said = [_answer(row, "no idea", nll_sum=5.0) for row in _OLD[5:]]
    judged.keep("predictions.baseline", [*failed, *said])
    gain = Gate(metric_id="nll_gain", threshold=0.05)
    assert _scored(judged, gain, new=_OLD[:-1]) == "nll_gain 1.0000"


def test_rows_that_are_not_kept_are_told_by_digest(judged: Judged) -> None:
    was = judged.record.facts["inputs"][_ROWS]
    judged.artifacts.trash(judged.record.outputs["scores.candidate.gold_test"].digest)
    judged.shape = replace(judged.shape, rows={"gold_test": _OTHER})
    told = judged.told(_OLD)
    assert (told.change.before, told.change.after) == (was, _OTHER)
    assert told.change.weakened
    judged.shape = replace(judged.shape, rows={"gold_test": was}, datasets=("gold",))
    assert judged.changed(_OLD) is None


def test_rows_are_those_of_this_plan_where_it_made_some(judged: Judged) -> None:
    judged.changed(_OLD)
    kept = judged.artifacts.put_folder(judged.folder)

    def changed(folder: Path | None, prepared: Output | None) -> RowsChanged | None:
        return rows_changed(
            judged.shape, judged.record, folder, prepared, judged.artifacts, is_same_data=False
        )

    assert judged.changed(_OLD[1:]) is not None
    assert changed(judged.folder, kept) is not None
    assert changed(None, kept) is None
    assert changed(None, None) is not None, "no rows are prepared"
    outputs = dict(judged.record.outputs)
    del outputs["scores.candidate.gold_test"]
    judged.record = replace(judged.record, outputs=outputs)
    judged.shape = replace(judged.shape, rows={"gold_test": _OTHER})
    told = changed(judged.folder, None)
    assert told is not None
    assert told.change.after == _OTHER, "an older program recorded no scores"
