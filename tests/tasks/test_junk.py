"""No shipped pack passes outputs that ignore their rows, whatever the likelihood says."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import pytest

from brewslm.tasks.arithmetic import summed
from brewslm.tasks.builtin_packs import BUILTIN_PACKS
from brewslm.tasks.compose import compose
from brewslm.tasks.deciding import decide
from brewslm.tasks.gate_checks import gate_problems
from brewslm.tasks.junk import has_look_alikes
from brewslm.tasks.metric import MetricKind
from brewslm.tasks.metrics import produced_metrics
from brewslm.tasks.packs import gates_of
from brewslm.tasks.scoring import other_references, scored_item
from brewslm.tasks.statistics import wilson
from brewslm.tasks.task import DEFAULT_OPTIONS, TASKS

Rows = list[dict[str, Any]]


class Turn(NamedTuple):
    """The row that junk answers, with what it may steal from."""

    rows: Rows
    at: int
    gold: Callable[[int], str]


Junk = Callable[[Turn], str]
_ALIKE = str.maketrans("aceiopxyABCEHKMOPTX", "асеіорхуАВСЕНКМОРТХ")
_TOWNS = "Graz Linz Wels Steyr Krems Bregenz Dornbirn Villach Leoben Kufstein".split()  # noqa: SIM905
_DECLINED = [
    "Unfortunately, this is not something I'm able to assist with.",
    "Regrettably, we can't answer that.",
    "There is not enough information to say.",
]
_WHY = ["the road is closed", "a bridge is repaired", "snow has fallen", "nobody drives today"]


def _label(at: int) -> str:
    return ("late", "torn", "lost", "late", "late")[at % 5]


PROJECTS: dict[str, tuple[str, dict[str, Any], Callable[[int], tuple[Any, Any]]]] = {
    "labels": (
        "classification",
        {"allowed_labels": ["late", "torn", "lost"], "scoring_mode": None},
        lambda at: (
            {"text": f"my parcel number {at} to {_TOWNS[at % 10]} is not as it should be"},
            {"label": _label(at)},
        ),
    ),
    "two uneven labels": (
        "classification",
        {"allowed_labels": ["yes", "no"], "scoring_mode": None},
        lambda at: (
            {"text": f"does the truck {at} reach {_TOWNS[at % 10]} by noon today?"},
            {"label": "no" if at % 5 == 0 else "yes"},
        ),
    ),
    "short answers": (
        "qa",
        {},
        lambda at: (
            {"question": f"Which town does line {at} of the night train reach first?"},
            {"answers": [_TOWNS[(at * 7) % 10]]},
        ),
    ),
    "instructions": (
        "instruction_sft",
        {},
        lambda at: (
            {"instruction": f"Tell the driver of truck {at} how to reach {_TOWNS[at % 10]}."},
            {"text": f"Go by {_TOWNS[(at * 3 + 1) % 10]} as {_WHY[at % 4]}, then call {at}."},
        ),
    ),
    "conversations": (
        "chat_sft",
        {},
        lambda at: (
            {
                "messages": [
                    {"role": "user", "content": "Hello there"},
                    {"role": "assistant", "content": "Hello, what can I do for you?"},
                    {"role": "user", "content": f"Where is my parcel to {_TOWNS[at % 10]}?"},
                ]
            },
            {"text": f"It waits in {_TOWNS[(at * 3 + 1) % 10]} because {_WHY[at % 4]}."},
        ),
    ),
    "objects": (
        "structured_extraction",
        {
            "scoring_mode": "field_match",
            "json_schema": {
                "type": "object",
                "required": ["town", "weight"],
                "properties": {"town": {"type": "string"}, "weight": {"type": "integer"}},
            },
        },
        lambda at: (
            {"text": f"send {at % 4} kilos in parcel {at} on to {_TOWNS[at % 10]} now"},
            {"object": {"town": _TOWNS[at % 10], "weight": at % 4}},
        ),
    ),
    "entities": (
        "structured_extraction",
        {"scoring_mode": "span_set"},
        lambda at: (
            {"text": f"{'by air ' * (at % 7)}{_TOWNS[at % 10]} has sent it on"},
            {
                "entities": [
                    {
                        "type": "town",
                        "start": 7 * (at % 7),
                        "end": 7 * (at % 7) + len(_TOWNS[at % 10]),
                        "text": _TOWNS[at % 10],
                    }
                ]
            },
        ),
    ),
}
JUNK: dict[str, Junk] = {
    "empty": lambda _: "",
    "blank": lambda _: " \n",
    "most common answer": lambda it: _most_common(it),
    "prompt echoed": lambda it: _asked(it.rows[it.at]),
    "input echoed": lambda it: str(_input(it.rows[it.at])),
    "prompt echoed and cut": lambda it: " ".join(_asked(it.rows[it.at]).split()[:10]),
    "valid JSON, wrong fields": lambda it: f'{{"answer": {it.at}, "ok": true}}',
    "valid JSON, wrong values": lambda _: '{"town": "Wien", "weight": 99}',
    "every answer at once": lambda it: ", ".join(
        dict.fromkeys(it.gold(other) for other in range(len(it.rows)))
    ),
    "every answer on a line": lambda it: "\n".join(
        dict.fromkeys(it.gold(other) for other in range(len(it.rows)))
    ),
    "answer of the previous row": lambda it: it.gold(it.at - 1),
    "answer of the next row": lambda it: it.gold((it.at + 1) % len(it.rows)),
    "refusal": lambda _: "I'm sorry, but I can't help with that.",
    "refusal, then the answer": lambda it: (
        f"I'm sorry, but I can't help with that.\n{it.gold(it.at)}"
    ),
    "refusal, then the marked answer": lambda it: (
        f"I cannot answer this question.\nAnswer: {it.gold(it.at)}"
    ),
    "doubt, then the answer": lambda it: f"As an AI, I don't know. {it.gold(it.at)}",
    "declined in other words, then the answer": lambda it: (
        f"{_DECLINED[it.at % len(_DECLINED)]} {it.gold(it.at)}"
    ),
    "prompt with its words in another order": lambda it: " ".join(
        sorted(str(_input(it.rows[it.at])).split())
    ),
    "look-alike letters": lambda it: it.gold(it.at).translate(_ALIKE),
    "full-width letters": lambda it: "".join(
        chr(ord(letter) + 0xFEE0) if letter.isascii() and letter.isalpha() else letter
        for letter in it.gold(it.at)
    ),
    "chat markup": lambda it: f"Assistant: <|im_start|> {it.gold(it.at - 1)}",
}


def _right(it: Turn) -> str:
    return it.gold(it.at)


def _most_common(it: Turn) -> str:
    answers = [it.gold(at) for at in range(len(it.rows))]
    return max(sorted(set(answers)), key=answers.count)


def _asked(row: Mapping[str, Any]) -> str:
    return str(row["messages"][row["completion_from"] - 1]["content"])


def _input(row: Mapping[str, Any]) -> str:
    inputs = row["inputs"]
    return str(next((v for v in inputs.values() if isinstance(v, str)), None) or _asked(row))


def _rows(project: str, n: int = 30) -> Rows:
    profile, contract, made = PROJECTS[project]
    rows = []
    for at in range(n):
        inputs, reference = made(at)
        composed = compose(profile, inputs, reference, contract, "")
        rows.append(
            {
                "row_id": f"{at:04d}",
                "messages": composed.messages,
                "completion_from": composed.completion_from,
                "inputs": inputs,
                "reference": reference,
            }
        )
    return rows


def _values(project: str, rows: Rows, outputs: Sequence[str], nll: float) -> dict[str, Any]:
    """Return the estimates of a role, without draws: point gates need none."""
    profile, contract, _ = PROJECTS[project]
    task = TASKS.load(profile)
    items = [
        scored_item(
            task,
            row,
            {"output": outputs[at], "finish": "stop", "nll_sum": nll, "nll_tokens": 1},
            {"nll_sum": 2.0, "nll_tokens": 1},
            contract,
            DEFAULT_OPTIONS,
            other_references(rows, at),
        )
        for at, row in enumerate(rows)
    ]
    totals = summed(item.counts for item in items)
    names = tuple(dict.fromkeys(name for row in rows for name in task.names(row["reference"])))
    found: dict[str, Any] = {}
    for key, metric in produced_metrics(profile, contract, names).items():
        value = float(metric.value(totals))
        n = totals["n"] if metric.formula else totals[metric.denominator]
        estimate: dict[str, Any] = {
            "kind": str(metric.kind),
            "value": value if math.isfinite(value) else None,
            "n": n,
        }
        if metric.kind is MetricKind.PROPORTION:
            k = totals[metric.numerator]
            ends = {"interval": list(wilson(k, n, 0.95)), "method": "wilson"} if n else {}
            estimate |= {"k": k, **ends}
        found[key] = estimate
    return found


@cache
def _base(project: str) -> dict[str, Any]:
    rows = _rows(project)
    return _values(project, rows, ["no idea"] * len(rows), 2.0)


@cache
def _document(project: str, junk: str) -> dict[str, Any]:
    """Return the metrics of made-up outputs beside a base model that knows nothing; the likelihood
    is much better than the base model's.
    """
    profile, contract, _ = PROJECTS[project]
    rows = _rows(project)
    task = TASKS.load(profile)

    def gold(at: int) -> str:
        return task.answer(rows[at]["reference"], contract)

    said = JUNK.get(junk, _right)
    turns = [Turn(rows, at, gold) for at in range(len(rows))]
    ours = _values(project, rows, [said(turn) for turn in turns], 1.0)
    base = _base(project)
    differences = {
        key: {
            "value": ours[key]["value"],
            "other": base[key]["value"],
            "delta": (ours[key]["value"] or 0) - (base[key]["value"] or 0),
            "n": len(rows),
        }
        for key in ours
    }
    return {
        "declarations": {
            key: {"higher_is_better": item.higher_is_better, "synonyms": list(item.synonyms)}
            for key, item in produced_metrics(profile, contract).items()
        },
        "sets": {
            "gold_test": {
                "rows": len(rows),
                "roles": {
                    role: {"n_error": 0, "metrics": values, "slices": {}, "epochs": {}}
                    for role, values in (("candidate", ours), ("baseline", base))
                },
                "comparisons": {
                    "baseline": {"is_comparable": True, "slices": {}, "metrics": differences}
                },
            }
        },
    }


def _verdict(project: str, pack_id: str, junk: str) -> str:
    """Return the verdict of a pack, or that a plan with a deployment refuses the pack."""
    profile, contract, _ = PROJECTS[project]
    gates = gates_of(BUILTIN_PACKS[pack_id], profile, contract)
    problems = gate_problems(gates, profile, contract, has_deployment=True)
    if any(problem.severity == "error" for problem in problems):
        return "refused by the plan"
    return str(decide(gates, _document(project, junk))["verdict"])


def _cases() -> list[tuple[str, str]]:
    return [
        (project, pack_id)
        for project, (profile, _, _) in PROJECTS.items()
        for pack_id, pack in BUILTIN_PACKS.items()
        if profile in pack.profiles()
    ]


def test_every_shipped_pack_kills_all_junk(record_property: Callable[[str, object], None]) -> None:
    survivors, tried = [], 0
    for project, pack_id in _cases():
        for name in JUNK:
            tried += 1
            if _verdict(project, pack_id, name) == "PASS":
                survivors.append(f"{pack_id} passes {name} of {project}")
    rate = 100 * (1 - len(survivors) / tried)
    record_property("told", f"packs kill {rate:.1f} % of {tried} pairs of pack and junk")
    assert survivors == []


@pytest.mark.parametrize("project", PROJECTS)
def test_right_answers_pass_the_offline_pack(project: str) -> None:
    assert _verdict(project, "evalpack.local.offline", "right answers") == "PASS"


@pytest.mark.parametrize(
    ("text", "is_odd"),
    [
        ("\u0440ositive", True),
        ("\uff47ood", True),
        ("\U0001d420ood", True),
        ("caf\u00e9 na\u00efve", False),
        ("\u043a\u0443\u043f\u0438 iPhone", False),
        ("5 \u00b5m at 20 \u2103", False),
        ("T\u30b7\u30e3\u30c4\u306f\u8d64\u3044", False),
    ],
)
def test_look_alikes_are_words_of_mixed_alphabets(text: str, is_odd: bool) -> None:
    assert has_look_alikes(text) is is_odd
