"""What training and evaluation will make of the prepared rows: rendered, tokenized and masked by
the base model's own template and tokenizer while planning.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

from brewslm.address import Address
from brewslm.artifacts.store import ArtifactReader
from brewslm.diagnostics import Finding, FindingCode, Place, Severity
from brewslm.errors import ArtifactError, RefusedError
from brewslm.plan.base_model import BUILTIN, BaseModel
from brewslm.plan.known import Known
from brewslm.plan.model_files import read_document
from brewslm.plan.rehearsed import Fault, SetRehearsal
from brewslm.stages.training_config import TrainingConfig

MOST_ROWS = 10_000
"""Rows of a set that are rehearsed; of a larger one those that come first, which is by digest."""
_TOKENIZER, _TEMPLATE, _CONFIG = "tokenizer.json", "chat_template.jinja", "tokenizer_config.json"
_MAP = "special_tokens_map.json"
_NAMES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
_RECIPE = ("completion_only_loss", "assistant_only_loss", "max_seq_length")
_FILES = {"validation": "val"}
_BY_LENGTH = frozenset({"rows_too_long", "rows_without_loss"})
_GOLD = frozenset({"gold_dev", "gold_test"})
"""Sets whose rows decide: one that cannot be asked stops the plan."""
_SHOWN = 5


class Rehearsal:
    """Rehearses the sets that a plan asks for, each once."""

    def __init__(self, known: Known, artifacts: ArtifactReader) -> None:
        self._known = known
        self._artifacts = artifacts
        self._made: dict[tuple[str, bool], SetRehearsal] = {}
        self._found: list[Finding] = []

    def of(self, config: TrainingConfig, name: str, *, is_evaluated: bool) -> SetRehearsal | None:
        """Return what becomes of a set, None where it cannot be rehearsed here; what is wrong is
        told by `taken_findings`.

        Raises: RefusedError where the template or the tokenizer cannot be used.
        """
        base = self._known.base
        if base is None or base.folder is None or _TOKENIZER not in base.files:
            return None
        key = (name, is_evaluated)
        if key not in self._made:
            data = self._file(f"{_FILES.get(name, name)}.jsonl")
            if data is None:
                return None
            setup = _setup(config, base, base.folder)
            try:
                made = _rehearsed(orjson.dumps(setup), data, is_evaluated, _is_own(base))
            except ImportError:
                return None
            self._made[key] = made
            self._found += self._findings(name, made, is_evaluated=is_evaluated)
        return self._made[key]

    def taken_findings(self) -> list[Finding]:
        """Return what was found since this was last asked."""
        found, self._found = self._found, []
        return found

    def _file(self, name: str) -> bytes | None:
        """Return the bytes of a prepared file, made by this plan or kept."""
        folder = self._known.prepared_folder
        if folder is not None:
            return (folder / name).read_bytes()
        output = self._known.outputs.get(Address("dataset"), {}).get("prepared")
        if output is None:
            return None
        try:
            return self._artifacts.read_bytes(self._artifacts.listing(output.digest)[name].digest)
        except (ArtifactError, KeyError):
            return None

    def _findings(self, name: str, made: SetRehearsal, *, is_evaluated: bool) -> list[Finding]:
        places = self._places(made)
        what = "are left out of training"
        if is_evaluated:
            what = "cannot be asked, so that gates on them are not decided"
        severity = Severity.ERROR if name in _GOLD else Severity.WARNING
        remedies = import_module("brewslm.rows.rejects").REMEDIES  # only faulty rows need it
        found = [
            _row_finding(
                code,
                f"{_rows(len(faults))} of {name} {what}: {code}",
                remedies[code],
                severity,
                [(places.get(fault.row_id, Place()), fault) for fault in faults],
            )
            for code, faults in sorted(made.left_out.items())
            if code not in _BY_LENGTH
        ]
        if made.hidden_reasoning:
            found.append(
                Finding(
                    FindingCode.COLUMNS_UNREAD,
                    Severity.WARNING,
                    f"the chat template does not show the reasoning of {name} rows",
                    "nothing, or take a base model whose template shows reasoning_content",
                    address="training_plan",
                    found=f"reasoning_content ({_rows(made.hidden_reasoning)})",
                )
            )
        return found

    def _places(self, made: SetRehearsal) -> dict[str, Place]:
        wanted = {fault.row_id for faults in made.left_out.values() for fault in faults}
        index = self._file("index.jsonl") if wanted else None
        sources = self._known.prepared.get("sources") or ()
        paths = {item["name"]: str(item["locator"]).partition(":")[2] for item in sources}
        places: dict[str, Place] = {}
        for line in (index or b"").splitlines():
            entry = orjson.loads(line)
            if entry["row_id"] in wanted:
                place = Place(paths.get(entry["source"], ""), entry["line"])
                places.setdefault(entry["row_id"], place)
        return places


def training_findings(made: SetRehearsal, max_reject_rate: float) -> list[Finding]:
    """Return what is wrong with a train set of which rows are left out."""
    faulty = sum(len(rows) for code, rows in made.left_out.items() if code not in _BY_LENGTH)
    counts = ", ".join(f"{code} {len(rows)}" for code, rows in sorted(made.left_out.items()))
    if not made.left_out:
        return []
    if made.is_whole and not made.lengths:
        return [
            Finding(
                FindingCode.NO_TRAIN_ROWS,
                Severity.ERROR,
                "no row is left to train on",
                "raise max_seq_length, or correct the rows",
                address="training_plan",
                found=counts,
                expected="rows that fit max_seq_length and carry loss",
            )
        ]
    rows = faulty + len({row_id for _, row_id in made.lengths})
    if faulty / max(rows, 1) <= max_reject_rate:
        return []
    return [
        Finding(
            FindingCode.REJECT_RATE_EXCEEDED,
            Severity.ERROR,
            f"{faulty} of {rows} train rows cannot be trained on",
            "correct the rows, or raise contract.max_reject_rate",
            field="spec.dataset.contract.max_reject_rate",
            address="dataset",
            found=f"{faulty / rows:.4f} ({counts})",
            expected=f"at most {max_reject_rate}",
        )
    ]


@lru_cache(maxsize=16)
def _rehearsed(setup: bytes, data: bytes, is_evaluated: bool, is_trusted: bool) -> SetRehearsal:
    """Return what becomes of a set; equal sets of one process are rehearsed once.

    Raises: RefusedError, ImportError.
    """
    lines = data.splitlines()
    chosen = lines[:MOST_ROWS]
    made = SetRehearsal(is_whole=len(chosen) == len(lines))
    if not chosen:
        return made
    rehearsal = import_module("brewslm.rows.rehearsal")  # only work that trains or asks pays for it
    with rehearsal.rehearsing(orjson.loads(setup), is_trusted=is_trusted) as rehearse:
        rows = rehearse(chosen, is_evaluated=is_evaluated)
    _raise_for_template(rows)
    for line, row in zip(map(orjson.loads, chosen), rows, strict=True):
        copies = int(line["weight"])
        if row.code:
            made.left_out.setdefault(row.code, []).append(Fault(line["row_id"], row.detail))
            left = made.effective_left_out.get(row.code, 0)
            made.effective_left_out[row.code] = left + copies
        else:
            made.lengths += [(row.tokens, line["row_id"])] * copies
        made.hidden_reasoning += not row.shows_reasoning
    return made


def _raise_for_template(rows: Sequence[Any]) -> None:
    """Refuse a template that every row fails at."""
    if all(row.code and row.is_of_template for row in rows):
        raise RefusedError(
            "the chat template of the base model fits none of the rows",
            code="base_refused",
            found=rows[0].detail,
            expected="a template that renders the turns of the rows, a prompt as a prefix of the "
            "whole",
            remedy="write use_tokenizer_chat_template: false and choose chat_template, or change "
            "the turns",
        )


def _setup(config: TrainingConfig, base: BaseModel, folder: Path) -> dict[str, Any]:
    documents = [read_document(folder / name) for name in (_CONFIG, _MAP) if name in base.files]
    tokens = {
        name: text
        for document in documents
        for name in _NAMES
        if (text := _token(document.get(name)))
    }
    if "eos_token" in tokens:
        tokens.setdefault("pad_token", tokens["eos_token"])
    return {
        "template": _template(config, base, folder, documents),
        "tokens": tokens,
        "tokenizer": str(folder / _TOKENIZER),
        "tokenizer_digest": base.files[_TOKENIZER],
        **{name: getattr(config, name) for name in _RECIPE},
    }


def _template(
    config: TrainingConfig, base: BaseModel, folder: Path, documents: Sequence[Mapping[str, Any]]
) -> str:
    """Return the template that the worker uses."""
    if config.use_tokenizer_chat_template:
        if _TEMPLATE in base.files:
            return (folder / _TEMPLATE).read_text(encoding="utf-8")
        held = next((item["chat_template"] for item in documents if "chat_template" in item), None)
        if isinstance(held, list):
            held = next(
                (item.get("template") for item in held if item.get("name") == "default"), None
            )
        if isinstance(held, str):
            return held
    return str(import_module("brewslm.rows.templates").TEMPLATES[config.chat_template])


def _token(value: object) -> str:
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) else ""


def _is_own(base: BaseModel) -> bool:
    return base.folder is not None and base.folder.parent == BUILTIN


def _row_finding(
    code: str,
    message: str,
    remedy: str,
    severity: Severity,
    rows: Sequence[tuple[Place, Fault]],
) -> Finding:
    ordered = sorted(rows, key=lambda item: (item[0].file, item[0].line))
    shown = ", ".join(str(place) for place, _ in ordered[:_SHOWN])
    more = len(ordered) - _SHOWN
    place, first = ordered[0]
    return Finding(
        code,
        severity,
        message,
        remedy,
        address="training_plan",
        place=place,
        found=shown + (f" and {more} more" if more > 0 else "") + f" ({first.detail})",
    )


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
