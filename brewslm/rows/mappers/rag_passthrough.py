"""A question, the passages that may answer it, and the answer."""

from collections.abc import Mapping
from typing import Any

from brewslm.refusals import is_refusal
from brewslm.rows.mapper import Mapped, Mapper, MapperField, NoOptions, Sample, text_field
from brewslm.rows.rejects import RejectCode, RejectedRow
from brewslm.rows.targets import Target, answer_list


def _map(values: Mapping[str, Any], _options: NoOptions, _target: Target) -> Mapped:
    question = text_field(values, "question", RejectCode.MISSING_QUESTION)
    passages = _passages(values.get("context"))
    answers = answer_list(values.get("answer"), "answer", RejectCode.MISSING_ANSWER)
    return Mapped(
        {"question": question, "passages": passages},
        {"answers": answers, "is_refusal": is_refusal(answers[0])},
    )


def _passages(context: Any) -> list[dict[str, Any]]:
    """Return numbered passages; text itself stays as it is."""
    if context is None:
        raise RejectedRow(RejectCode.MISSING_CONTEXT, "context")
    items = context if type(context) is list else [context]
    passages = [_passage(number, item) for number, item in enumerate(items, 1)]
    if not any(passage["text"].strip() for passage in passages):
        raise RejectedRow(RejectCode.MISSING_CONTEXT, "context")
    return passages


def _passage(number: int, item: Any) -> dict[str, Any]:
    if type(item) is str:
        return {"n": number, "text": item}
    if type(item) is dict and type(item.get("text")) is str:
        own_id = item.get("id")
        if type(own_id) in (str, int):
            return {"n": number, "id": str(own_id), "text": item["text"]}
        if own_id is None:
            return {"n": number, "text": item["text"]}
    raise RejectedRow(RejectCode.WRONG_TYPE, f"context/{number - 1}")


_ASKED = {"question": "Where is pump 3?", "answer": "In hall B"}

MAPPER = Mapper(
    id="rag_passthrough",
    task_profile="rag_qa",
    fields=(
        MapperField("question", is_required=True),
        MapperField(
            "context",
            is_required=True,
        ),
        MapperField(
            "answer",
            is_required=True,
        ),
    ),
    map=_map,
    samples=(
        Sample({**_ASKED, "context": "Pump 3 is in hall B."}),
        Sample({**_ASKED, "context": [{"id": "d1", "text": "Pump 3 is in hall B."}, "Hall B."]}),
        Sample({**_ASKED, "question": "", "context": "Hall B."}, RejectCode.MISSING_QUESTION),
        Sample(_ASKED, RejectCode.MISSING_CONTEXT),
        Sample({**_ASKED, "context": [" "]}, RejectCode.MISSING_CONTEXT),
        Sample({**_ASKED, "answer": [], "context": "Hall B."}, RejectCode.MISSING_ANSWER),
        Sample({**_ASKED, "context": [3]}, RejectCode.WRONG_TYPE),
    ),
)
