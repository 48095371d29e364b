"""A question and one or more answers, or any other pair of texts."""

from collections.abc import Mapping
from typing import Any

from brewslm.rows.context import CONTEXT_FIELDS, context_inputs
from brewslm.rows.mapper import Mapped, Mapper, MapperField, NoOptions, Sample, text_field
from brewslm.rows.rejects import RejectCode
from brewslm.rows.targets import Target, text_reference
from brewslm.tasks.task import Reference


def _map(values: Mapping[str, Any], _options: NoOptions, target: Target) -> Mapped:
    question = text_field(values, "question", RejectCode.MISSING_QUESTION)
    answer = values.get("answer")
    reference = text_reference(target, answer, "answer", RejectCode.MISSING_ANSWER)
    return Mapped({**target.form.inputs_of(question), **context_inputs(values, target)}, reference)


MAPPER = Mapper(
    id="qa_pair_passthrough",
    aliases=("qa-pair",),
    task_profile="qa",
    references=(Reference.TEXT, Reference.LABEL, Reference.OBJECT),
    fields=(
        MapperField(
            "question",
            is_required=True,
        ),
        MapperField(
            "answer",
            is_required=True,
        ),
        *CONTEXT_FIELDS,
    ),
    map=_map,
    samples=(
        Sample({"question": "Where is pump 3?", "answer": "In hall B"}),
        Sample({"question": "Where is pump 3?", "answer": ["In hall B", "Hall B"]}),
        Sample({"question": "A long report", "answer": "Short"}, profile="summarization"),
        Sample({"question": "Pump 3", "answer": '{"n": 3}'}, profile="structured_extraction"),
        Sample({"answer": "In hall B"}, RejectCode.MISSING_QUESTION),
        Sample({"question": "Where is pump 3?", "answer": " "}, RejectCode.MISSING_ANSWER),
        Sample({"question": "How many pumps stop?", "answer": 3}),
        Sample({"question": "Where is pump 3?", "answer": {"hall": "B"}}, RejectCode.WRONG_TYPE),
        Sample(
            {"question": "Pump 3", "answer": "{n: 3}"},
            RejectCode.REFERENCE_NOT_JSON,
            profile="structured_extraction",
        ),
        Sample(
            {"question": "Pump 3", "answer": '{"n": 9007199254740993}'},
            RejectCode.NUMBER_OUT_OF_RANGE,
            profile="structured_extraction",
        ),
        Sample(
            {"question": "Pump 3", "answer": "c"},
            RejectCode.LABEL_NOT_ALLOWED,
            profile="classification",
            labels=frozenset({"a", "b"}),
        ),
    ),
)
