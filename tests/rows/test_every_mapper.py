"""Every mapper: its samples become what they say, twice the same."""

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import brewslm.rows.mapper
from brewslm.contracts import Spec
from brewslm.errors import BrewError
from brewslm.rows.mapper import MAPPERS, Mapped, Mapper, Sample, bind_columns, load_options
from brewslm.rows.rejects import REMEDIES, HoldCode, RejectCode, RejectedRow
from brewslm.rows.targets import Target
from brewslm.tasks.compose import compose
from brewslm.tasks.task import TASKS

CASES = [
    pytest.param(mapper, sample, id=f"{name}-{number}-{sample.code or 'accepted'}")
    for name, mapper in MAPPERS.all().items()
    for number, sample in enumerate(mapper.samples)
]
EXPECTED = {
    "bio_to_spans",
    "chat_messages_passthrough",
    "instruction_passthrough",
    "kv_to_structured",
    "label_to_classification",
    "preference_pair",
    "prompt_completion_passthrough",
    "qa_pair_passthrough",
    "rag_passthrough",
    "sharegpt_to_chat",
    "text_only",
}


def outcome(mapper: Mapper, sample: Sample) -> object:
    options: Spec = load_options(mapper, sample.options)
    target = Target(sample.profile or mapper.task_profile, mapper.scoring_mode, sample.labels)
    values = {name: sample.row.get(column) for name, column in bind_columns(mapper, {})}
    row = {**sample.row, **values} if mapper.reads_whole_row else values
    try:
        return mapper.map(row, options, target)
    except RejectedRow as error:
        return error.code


def test_every_mapper_is_there() -> None:
    assert set(MAPPERS.names()) == EXPECTED
    assert all(mapper.id == name for name, mapper in MAPPERS.all().items())


@pytest.mark.parametrize(("mapper", "sample"), CASES)
def test_samples_become_what_they_say(mapper: Mapper, sample: Sample) -> None:
    result = outcome(mapper, sample)
    if sample.code is None:
        assert not isinstance(result, RejectCode), result
    else:
        assert result == sample.code
    assert outcome(mapper, sample) == result
    assert sample.profile is None or sample.profile in mapper.profiles


@pytest.mark.parametrize("mapper", MAPPERS.all().values(), ids=MAPPERS.names())
def test_every_required_field_has_a_sample_that_lacks_it(mapper: Mapper) -> None:
    codes = {sample.code for sample in mapper.samples}
    assert None in codes
    for item in mapper.fields:
        if item.is_required:
            assert RejectCode(f"missing_{item.name}") in codes


@pytest.mark.parametrize("mapper", MAPPERS.all().values(), ids=MAPPERS.names())
def test_every_code_of_a_mapper_has_a_sample(mapper: Mapper) -> None:
    folder = Path(brewslm.rows.mapper.__file__).parent / "mappers"
    source = (folder / f"{mapper.id}.py").read_text()
    named = {RejectCode[name] for name in re.findall(r"RejectCode\.([A-Z_]+)", source)}
    assert named <= {sample.code for sample in mapper.samples}


@pytest.mark.parametrize("mapper", MAPPERS.all().values(), ids=MAPPERS.names())
def test_what_a_mapper_makes_for_a_task_can_be_asked(mapper: Mapper) -> None:
    for profile in {*mapper.profiles} & {*TASKS.names()}:
        contract: dict[str, Any] = {
            "scoring_mode": mapper.scoring_mode,
            "labels": [],
            "allowed_labels": None,
        }
        samples = [replace(item, profile=item.profile or profile) for item in mapper.samples]
        made = [outcome(mapper, item) for item in samples if item.profile == profile]
        whole = [item for item in made if isinstance(item, Mapped)]
        assert whole or profile != mapper.task_profile
        for item in whole:
            made_for = item.task_profile or profile
            if made_for in TASKS.names():
                asked = compose(made_for, item.inputs, item.reference, contract, "Be brief.")
                assert asked.messages[-1]["role"] == "assistant"
                turns = item.inputs.get("messages")
                assert turns is None or asked.messages[-1 - len(turns) : -1] == turns


def test_unknown_options_and_fields_are_refused_with_the_closest_name() -> None:
    mapper = MAPPERS.load("label_to_classification")
    with pytest.raises(BrewError) as caught:
        load_options(mapper, {"allowed_label": ["a"]})
    assert (caught.value.code, caught.value.remedy) == ("MAPPER_OPTION", "write allowed_labels")
    with pytest.raises(BrewError) as caught:
        bind_columns(mapper, {"lable": "x"})
    assert (caught.value.code, caught.value.remedy) == ("MAPPER_OPTION", "write label")


def test_extraction_without_fields_is_one_error() -> None:
    with pytest.raises(BrewError) as caught:
        load_options(MAPPERS.load("kv_to_structured"), {})
    assert caught.value.code == "MAPPER_OPTION"


def test_every_reject_code_has_a_remedy_and_no_hold_code_shares_its_name() -> None:
    assert set(REMEDIES) == set(RejectCode)
    assert not {code.value for code in RejectCode} & {code.value for code in HoldCode}


def test_turns_keep_tabs_and_blank_lines() -> None:
    mapper = MAPPERS.load("chat_messages_passthrough")
    content = "\n\tdef stop():\n\n\t\treturn 3  \n"
    turns = [{"role": "user", "content": content}, {"role": "assistant", "content": content}]
    mapped = mapper.map({"messages": turns}, load_options(mapper, {}), Target("chat_sft"))
    assert mapped.inputs["messages"][0]["content"] == content
    assert mapped.reference == {"text": content}


def test_entities_are_the_text_between_their_offsets() -> None:
    mapper = MAPPERS.load("bio_to_spans")
    row = {
        "tokens": ["Größe", "😀", "Pump", "3"],
        "labels": ["O", "O", "B-ASSET", "I-ASSET"],
        "full_text": "Größe 😀\n Pump 3",
    }
    options = load_options(mapper, {"entity_type_map": {"ASSET": "asset"}})
    mapped = mapper.map(row, options, Target("structured_extraction", "span_set"))
    assert mapped.reference == {
        "entities": [{"type": "asset", "start": 9, "end": 15, "text": "Pump 3"}]
    }
    assert mapped.inputs["text"][9:15] == "Pump 3"


def test_extracted_fields_keep_the_declared_order_and_values() -> None:
    mapper = MAPPERS.load("kv_to_structured")
    options = load_options(mapper, {"fields": {"z": "cause", "a": "n"}})
    row = {"text": " x ", "cause": "heat", "n": 3.5}
    mapped = mapper.map(row, options, Target("structured_extraction"))
    assert list(mapped.reference["object"].items()) == [("z", "heat"), ("a", 3.5)]
    assert mapped.inputs == {"text": " x "}
