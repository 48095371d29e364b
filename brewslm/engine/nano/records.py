"""Exercises in strict JSON: keys and order as asked, values copied from the prompt or chosen."""

import json

from brewslm.engine.nano.document import Document, conversation
from brewslm.engine.nano.exercises import ask, listed, said, topic_choice
from brewslm.engine.nano.writer import Writer

_VALUE_SLOTS = (
    "name",
    "city",
    "date",
    "item",
    "color",
    "amount",
    "email",
    "phone",
    "time",
    "order",
    "weekday",
    "food",
    "job",
    "company",
)
_SLOT_KEYS = {
    "order": ("order", "order_id", "number", "id"),
    "amount": ("amount", "money", "sum", "price"),
    "first": ("name", "person", "first_name", "who"),
    "name": ("name", "person", "who"),
    "city": ("city", "place", "town", "where"),
    "item": ("item", "product", "article", "thing"),
    "weekday": ("day", "weekday", "when"),
    "date": ("date", "day", "due_date"),
    "time": ("time", "hour", "at"),
    "food": ("food", "dish"),
    "device": ("device", "machine"),
    "number": ("number", "count", "value"),
    "small": ("count", "number"),
    "color": ("color", "colour"),
    "company": ("company", "firm"),
    "animal": ("animal", "pet"),
    "email": ("email", "mail", "address"),
}


def written(record: dict[str, object]) -> str:
    """The record as JSON on one line."""
    return json.dumps(record, ensure_ascii=False)


def record_of_facts(writer: Writer) -> Document:
    """Write facts that are given in words or lines as one object."""
    slots = writer.pick_some(_VALUE_SLOTS, writer.between(1, 5))
    keys = writer.pick_some(writer.words["field"], len(slots))
    facts: list[object] = [_value(writer, slot) for slot in slots]
    shown = [value if isinstance(value, str) else json.dumps(value) for value in facts]
    pairs = list(zip(keys, shown, strict=True))
    draw = writer.rng.random()
    if draw < 0.4:
        text = ", ".join(f"{key} is {value}" for key, value in pairs)
    elif draw < 0.7:
        text = "\n".join(f"{key}: {value}" for key, value in pairs)
    else:
        text = "; ".join(f"{key} = {value}" for key, value in pairs)
    order = (
        writer.pick_some(range(len(keys)), len(keys)) if writer.chance(0.5) else range(len(keys))
    )
    record = {keys[place]: facts[place] for place in order}
    return ask(writer, _request(writer, list(record)), text, written(record))


def _value(writer: Writer, slot: str) -> object:
    draw = writer.rng.random()
    if draw < 0.12:
        return writer.between(0, 999)
    if draw < 0.2:
        return writer.chance(0.5)
    if draw < 0.28:
        return writer.word("note")
    return writer.slot(slot)


def _request(writer: Writer, keys: list[str]) -> str:
    names = ", ".join(f'"{key}"' for key in keys) if writer.chance(0.4) else ", ".join(keys)
    pattern = writer.pick(
        (
            "[Write|Make|Give|Return|Produce] [JSON|one JSON object|a JSON object]"
            " with [the keys|keys|the fields] {names}.",
            "[Answer|Reply] [in|with] JSON only[.|, please.]"
            " [Keys|Fields|Keys in this order]: {names}.",
            "[Put it into JSON|Turn it into JSON|As JSON, please|Fill a JSON record] ({names}).",
        )
    )
    return writer.fill(pattern, {"names": names})


def record_of_message(writer: Writer) -> Document:
    """Copy the values that a message holds into an object, null for those it lacks."""
    topic = writer.pick(writer.topics)
    text = writer.fill(writer.pick(topic.reports))
    found = {
        writer.pick(_SLOT_KEYS[name]): value
        for name, value in writer.slots.items()
        if name in _SLOT_KEYS
    }
    record: dict[str, object] = dict(found)
    if len(record) < 2 or writer.chance(0.15):
        absent = writer.pick(
            [slot for slot in ("company", "animal", "email") if slot not in writer.slots]
        )
        record[_SLOT_KEYS[absent][0]] = None
    if writer.chance(0.35):
        record[writer.pick(("text", "note", "message", "summary", "detail"))] = text
    keys = writer.pick_some(list(record), len(record))
    return ask(
        writer,
        _request(writer, keys),
        writer.sentence(text),
        written({key: record[key] for key in keys}),
    )


def record_of_choice(writer: Writer) -> Document:
    """Choose a topic from a list and write it with a copied part into an object."""
    topic, labels, right = topic_choice(writer, writer.between(2, 7))
    report = writer.report(topic)
    answer = writer.answer(topic, writer.slots)
    choice_key, copy_key = writer.pick_some(writer.words["field"], 2)
    record: dict[str, object] = {choice_key: right}
    extra = writer.rng.random()
    if extra < 0.4:
        record[copy_key] = report
    elif extra < 0.6:
        record[copy_key] = answer
    keys = writer.pick_some(list(record), len(record))
    rule = f" The {choice_key} is one of: {listed(writer, labels)}"
    if copy_key in record and writer.chance(0.7):
        rule += f" The {copy_key} is the text of the message."
    return ask(
        writer,
        _request(writer, keys) + rule,
        writer.sentence(report),
        written({key: record[key] for key in keys}),
    )


def name_in_record(writer: Writer) -> Document:
    """Say from memory what a message is about, inside an object."""
    topic = writer.pick(writer.topics)
    key = writer.pick(("heading", "theme", "about"))
    record: dict[str, object] = {key: topic.names[0], "field": topic.group}
    return ask(writer, _request(writer, list(record)), said(writer, topic), written(record))


def read_record(writer: Writer) -> Document:
    """Answer from an object with the value of one key."""
    slots = writer.pick_some(_VALUE_SLOTS, writer.between(2, 5))
    keys = writer.pick_some(writer.words["field"], len(slots))
    record: dict[str, object] = {
        key: writer.slot(slot) for key, slot in zip(keys, slots, strict=True)
    }
    key = writer.pick(keys)
    question = writer.fill(
        "[What is the value of|Which value has|Give me the|] {key}?", {"key": key}
    )
    return ask(writer, question, written(record), str(record[key]))


def rows_of_records(writer: Writer) -> Document:
    """Write a table of a few lines as a list of objects."""
    slots = writer.pick_some(_VALUE_SLOTS, 2)
    keys = writer.pick_some(writer.words["field"], 2)
    rows: list[dict[str, object]] = [
        {key: writer.slot(slot) for key, slot in zip(keys, slots, strict=True)}
        for _ in range(writer.between(1, 4))
    ]
    text = "\n".join(", ".join(str(value) for value in row.values()) for row in rows)
    request = f"Write a JSON list of objects with the keys {keys[0]}, {keys[1]}."
    return conversation((f"{request}\n{text}", json.dumps(rows, ensure_ascii=False)))
