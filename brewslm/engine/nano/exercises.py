"""Short instructions with one right answer: labelling, copying, finding, comparing."""

from brewslm.engine.nano.document import Document, Turn, conversation
from brewslm.engine.nano.words import Topic, load_kinds
from brewslm.engine.nano.writer import Writer

_MOODS = (
    ("pleased", ("happy", "pleased", "good", "positive", "satisfied", "glad")),
    ("cross", ("angry", "upset", "bad", "negative", "cross", "unhappy")),
)
_CHOICE_REQUESTS = (
    "[Choose|Pick|Select|Take] the [topic|subject|label|name|theme]"
    " that [fits|matches|suits|describes] the [message|text|line|request]:",
    "[What is the message about|Sort the text|Label the message|Which one fits|Take one of these]"
    "[, one of|; the options are|? Options|. Labels|. Only use]:",
)
_HEADING_REQUESTS = (
    "[What is this about|Which subject is it|What heading fits|What is the topic]?",
    "[Give it a second heading|Name the subject in other words].",
    "[Which field is it from|Name the field|Which part of life is this]?",
)
_HASTE = (
    ("rush", ("pressing", "now", "at once", "red", "today", "fast lane", "level 1", "burning")),
    (
        "middle",
        ("usual", "soon", "this week", "yellow", "in between", "standard", "level 2", "warm"),
    ),
    ("calm", ("relaxed", "later", "some day", "green", "can wait", "slow lane", "level 3", "cold")),
)


def ask(writer: Writer, instruction: str, text: str, answer: str) -> Document:
    """A request in one of the layouts that people use, with its answer."""
    layout = writer.rng.random()
    if layout < 0.35:
        return conversation((text, answer), system=instruction)
    quoted = f'"{text}"' if writer.chance(0.2) else text
    if layout < 0.6:
        return conversation((f"{instruction}\n{quoted}", answer))
    if layout < 0.75:
        return conversation((f"{quoted}\n{instruction}", answer))
    if layout < 0.9:
        head = writer.pick(("Text", "Message", "Input", "Note", "Line", "Customer", "User"))
        tail = writer.pick(("", "", "\nAnswer:", "\nLabel:", "\nOutput:"))
        return conversation((f"{instruction}\n\n{head}: {text}{tail}", answer))
    return conversation((f"{instruction} {quoted}", answer), system=writer.word("style"))


def label_style(writer: Writer, labels: list[str]) -> list[str]:
    """All labels in one spelling: as they are, in capitals, or joined by a sign."""
    draw = writer.rng.random()
    if draw < 0.5:
        return labels
    if draw < 0.72:
        return [label.replace(" ", "_") for label in labels]
    if draw < 0.82:
        return [label.upper().replace(" ", "_") for label in labels]
    if draw < 0.92:
        return [label.capitalize() for label in labels]
    return [label.replace(" ", "-") for label in labels]


def listed(writer: Writer, labels: list[str]) -> str:
    """The labels as a list in a sentence or in lines."""
    draw = writer.rng.random()
    if draw < 0.5:
        return ", ".join(labels)
    if draw < 0.65:
        return " | ".join(labels)
    if draw < 0.8:
        return ", ".join(labels[:-1]) + " or " + labels[-1]
    return "\n" + "\n".join(f"- {label}" for label in labels) + "\n"


def topic_choice(writer: Writer, count: int) -> tuple[Topic, list[str], str]:
    """A topic, the names of that many topics in random order, and the one that fits."""
    topics = writer.pick_some(writer.topics, count)
    topic = topics[0]
    labels = label_style(writer, [writer.pick(other.names) for other in topics])
    right = labels[0]
    writer.rng.shuffle(labels)
    return topic, labels, right


def said(writer: Writer, topic: Topic) -> str:
    """A message about the topic, sometimes with a name, a mood or a wish for speed around it."""
    text = writer.casual(writer.report(topic))
    extras = writer.rng.random()
    if extras < 0.1:
        return f"{text} {writer.sentence(writer.word(writer.pick(('rush', 'calm', 'middle'))))}"
    if extras < 0.18:
        return f"{writer.sentence(writer.word(writer.pick(('cross', 'pleased'))))} {text}"
    if extras < 0.25:
        return f"{text} {writer.sentence(writer.report(topic))}"
    if extras < 0.3:
        return f"{writer.word('hello')}, {text} {writer.word('bye')}, {writer.word('first')}"
    return text


def choose_topic(writer: Writer) -> Document:
    """Choose the name that fits a message from a list."""
    topic, labels, right = topic_choice(writer, writer.between(2, 10))
    instruction = f"{writer.fill(writer.pick(_CHOICE_REQUESTS))} {listed(writer, labels)}"
    if writer.chance(0.3):
        instruction += writer.fill(
            "[. Answer with the name only.|. Say nothing else.|. One label, please.]"
        )
    return ask(writer, instruction, said(writer, topic), right)


def choose_code(writer: Writer) -> Document:
    """Choose a code whose meaning is given in the prompt."""
    count = writer.between(2, 6)
    topics = writer.pick_some(writer.topics, count)
    codes = _codes(writer, count)
    pairs = list(zip(codes, topics, strict=True))
    writer.rng.shuffle(pairs)
    joint = writer.pick((": ", " = ", " means ", " - "))
    lines = [f"{code}{joint}{writer.pick(topic.names)}" for code, topic in pairs]
    lead, separator = writer.pick((("\n", "\n"), ("\n", "\n"), (" ", "; "), (" ", ", ")))
    head = writer.fill(
        "[Use these codes|Answer with the code|Codes|Which code fits|Give the key|Mark the text]"
    )
    instruction = f"{head}:{lead}{separator.join(lines)}"
    return ask(writer, instruction, said(writer, topics[0]), codes[0])


def _codes(writer: Writer, count: int) -> list[str]:
    draw = writer.rng.random()
    if draw < 0.3:
        return writer.pick_some("ABCDEFGHJKLM", count)
    if draw < 0.5:
        return [str(number) for number in writer.pick_some(range(1, 30), count)]
    if draw < 0.7:
        return writer.pick_some(writer.words["color"], count)
    if draw < 0.85:
        return writer.pick_some(writer.words["animal"], count)
    codes = {writer.non_word(): None for _ in range(count * 4)}
    return list(codes)[:count]


def name_topic(writer: Writer) -> Document:
    """Say from memory what a message is about."""
    topic = writer.pick(writer.topics)
    questions = [writer.fill(pattern) for pattern in _HEADING_REQUESTS]
    answers = (topic.names[0], topic.names[1], topic.group)
    question, answer = writer.pick(list(zip(questions, answers, strict=True)))
    return ask(writer, question, said(writer, topic), answer)


def same_topic(writer: Writer) -> Document:
    """Say whether two messages are about the same thing."""
    topic = writer.pick(writer.topics)
    agrees = writer.chance(0.5)
    other = topic if agrees else writer.pick([each for each in writer.topics if each is not topic])
    question = writer.fill(
        "[Do both talk|Do these talk|Are these messages] about the same [thing|topic|subject]?"
    )
    text = f"1. {writer.sentence(writer.report(topic))}\n2. {writer.sentence(writer.report(other))}"
    return ask(writer, question, text, "yes" if agrees else "no")


def find_line(writer: Writer) -> Document:
    """Copy the line, or give its number, that is about a named topic."""
    topics = writer.pick_some(writer.topics, writer.between(2, 5))
    reports = [writer.sentence(writer.report(topic)) for topic in topics]
    index = writer.between(0, len(topics) - 1)
    name = writer.pick(topics[index].names)
    if writer.chance(0.5):
        text = "\n".join(f"{number}. {report}" for number, report in enumerate(reports, 1))
        question = writer.fill(
            "[Which number|What number|Give the number of the line that] is about {topic}?",
            {"topic": name},
        )
        return ask(writer, question, text, str(index + 1))
    question = writer.fill(
        "[Which line|What line|Which message|Copy the line that] is about {topic}?",
        {"topic": name},
    )
    return ask(writer, question, "\n".join(reports), reports[index])


def say_again(writer: Writer) -> Document:
    """Say the same in other words."""
    topic = writer.pick(writer.topics)
    pattern = writer.pick(topic.reports)
    text = writer.fill(pattern)
    again = writer.fill(pattern, writer.slots)
    question = writer.fill(
        "[Say it in other words|Put it differently|Write it again in your own words|Rephrase this]."
    )
    return ask(writer, question, writer.sentence(text), writer.sentence(again))


def judge_mood(writer: Writer) -> Document:
    """Choose a name for the mood or the haste of a message from a list."""
    scale = writer.pick((_MOODS, _HASTE, _HASTE))
    column = writer.between(0, min(len(names) for _, names in scale) - 1)
    labels = label_style(writer, [names[column] for _, names in scale])
    right = writer.between(0, len(scale) - 1)
    cue = writer.sentence(writer.word(scale[right][0]))
    report = writer.sentence(writer.report(writer.pick(writer.topics)))
    text = f"{report} {cue}" if writer.chance(0.6) else f"{cue} {report}"
    order = writer.pick_some(labels, len(labels))
    question = writer.fill(
        "[How does the writer feel|What is the mood|Which mood is it]"
        if scale is _MOODS
        else "[How fast must we act|How soon|How much hurry is there|When must it be done]"
    )
    return ask(writer, f"{question}: {listed(writer, order)}?", text, labels[right])


def copy_text(writer: Writer) -> Document:
    """Repeat words exactly."""
    draw = writer.rng.random()
    if draw < 0.35:
        text = " ".join(writer.non_word() for _ in range(writer.between(2, 12)))
    elif draw < 0.55:
        text = " ".join(
            writer.slot(writer.pick(("order", "amount", "date", "email", "phone", "time")))
            for _ in range(writer.between(1, 4))
        )
    else:
        text = writer.casual(writer.report(writer.pick(writer.topics)))
    question = writer.fill(
        "[Repeat this|Copy the text|Write exactly this|Say it word by word|Echo the line][.|:|]"
    )
    return ask(writer, question, text, text)


def find_word(writer: Writer) -> Document:
    """Give the word at a place, in quotes, or after another word."""
    words = [
        writer.non_word()
        if writer.chance(0.4)
        else writer.word(writer.pick(("item", "food", "animal", "color")))
        for _ in range(writer.between(3, 8))
    ]
    draw = writer.rng.random()
    if draw < 0.3:
        return ask(
            writer, writer.fill("[What is|Give|Write] the first word."), " ".join(words), words[0]
        )
    if draw < 0.6:
        return ask(
            writer, writer.fill("[What is|Give|Write] the last word."), " ".join(words), words[-1]
        )
    index = writer.between(0, len(words) - 2)
    if draw < 0.8:
        quoted = [f'"{word}"' if place == index else word for place, word in enumerate(words)]
        return ask(
            writer,
            writer.fill("[Which word is|Give the word] in quotes."),
            " ".join(quoted),
            words[index],
        )
    return ask(writer, f"Which word comes after {words[index]}?", " ".join(words), words[index + 1])


_SLOT_QUESTIONS = {
    "order": "[What is the order number|Which number has the order|Give the order id]?",
    "amount": "[How much money is it|What amount is named|Give the amount].",
    "first": "[Who is named|Which name is in the text|Give the name].",
    "name": "[Who is named|Which name is in the text|Give the full name].",
    "city": "[Which city is it|What city is named|Name the city].",
    "item": "[Which thing is it about|What article is named|Name the product].",
    "weekday": "[Which day is named|What day is it|Give the day].",
    "date": "[Which date is named|Give the date|On what date]?",
    "time": "[At what time|Which time is named|Give the time].",
    "food": "[Which food is named|What food is it|Name the food].",
    "device": "[Which device is it|What device is meant|Name the device].",
    "email": "[Which address is named|Give the mail address].",
    "number": "[Which number is in the text|Give the number].",
    "month": "[Which month is named|Give the month].",
    "company": "[Which company is it|Name the company].",
    "color": "[Which colour is it|Name the colour].",
    "animal": "[Which animal is it|Name the animal].",
}


def find_value(writer: Writer) -> Document:
    """Copy a name, number, date or thing out of a message, or say that there is none."""
    topic = writer.pick(writer.topics)
    pattern = writer.pick(topic.reports)
    text = writer.fill(pattern)
    names = [name for name in writer.slots if name in _SLOT_QUESTIONS]
    slots = dict(writer.slots)
    if not names or writer.chance(0.1):
        missing = writer.pick(
            [
                name
                for name in _SLOT_QUESTIONS
                if name not in slots and name not in {"name", "first"}
            ]
        )
        if missing in {"number", "amount", "order"}:
            missing = "animal" if "animal" not in slots else "email"
        question = writer.fill(_SLOT_QUESTIONS[missing]) + " Write none if there is none."
        return ask(writer, question, writer.casual(text), "none")
    name = writer.pick(names)
    return ask(writer, writer.fill(_SLOT_QUESTIONS[name]), writer.sentence(text), slots[name])


def look_up(writer: Writer) -> Document:
    """Find the value that belongs to a key in a list."""
    count = writer.between(2, 8)
    keys = writer.pick_some(writer.words[writer.pick(("first", "item", "food", "city"))], count)
    value_slot = writer.pick(("number", "amount", "color", "city", "time", "order", "phone", "job"))
    values = [writer.slot(value_slot) for _ in keys]
    joint = writer.pick((": ", " = ", " - ", " has "))
    lines = writer.pick(("\n", ", ", "; ")).join(
        f"{key}{joint}{value}" for key, value in zip(keys, values, strict=True)
    )
    index = writer.between(0, count - 1)
    question = writer.fill(
        "[What belongs to|What is the entry of|Look up|And] {key}?", {"key": keys[index]}
    )
    return ask(writer, question, lines, values[index])


def kinds_of_things(writer: Writer) -> Document:
    """Answer from common knowledge: kinds of things and opposites."""
    kinds = load_kinds()
    kind, other = writer.pick_some(list(kinds), 2)
    thing = writer.pick(kinds[kind])
    draw = writer.rng.random()
    if draw < 0.2:
        word, opposite = writer.pick_some(writer.word("opposites").split("/"), 2)
        return conversation(
            (
                writer.fill(
                    f"[What is the opposite of|The opposite of|Give the opposite:] {word}?"
                ),
                opposite,
            )
        )
    if draw < 0.4:
        return conversation(
            (writer.fill(f"[What kind of thing is this|What is it|Name the kind]: {thing}"), kind)
        )
    if draw < 0.6:
        agrees = writer.chance(0.5) or thing in kinds[other]
        asked = kind if agrees else other
        if not agrees or thing in kinds[asked]:
            return conversation((f"Is {thing} a kind of {asked}?", "yes" if agrees else "no"))
    if draw < 0.8:
        rest = [word for word in kinds[other] if word not in kinds[kind]]
        options = [*writer.pick_some(rest, writer.between(2, 4)), thing]
        writer.rng.shuffle(options)
        return conversation(
            (
                writer.fill(f"[Which of these is a kind of|Find the] {kind}: {', '.join(options)}"),
                thing,
            )
        )
    options = writer.pick_some(kinds[kind], 3)
    return conversation(
        (writer.fill(f"[Name|List|Give me] three words for a kind of {kind}."), ", ".join(options))
    )


def change_words(writer: Writer) -> Document:
    """Compare, count, order or respell a few words or numbers."""
    draw = writer.rng.random()
    if draw < 0.25:
        low, high = sorted(writer.pick_some(range(1, 200), 2))
        shown = writer.pick_some((low, high), 2)
        is_larger = writer.chance(0.5)
        question = (
            f"Which number is {'larger' if is_larger else 'smaller'}: {shown[0]} or {shown[1]}?"
        )
        return conversation((question, str(high if is_larger else low)))
    if draw < 0.4:
        first, second = writer.between(0, 12), writer.between(0, 12)
        return conversation((f"What is {first} plus {second}?", str(first + second)))
    words = writer.pick_some(
        writer.words[writer.pick(("food", "item", "animal", "first"))], writer.between(2, 5)
    )
    shown_words = " ".join(words)
    if draw < 0.55:
        return ask(
            writer, writer.fill("[How many words|Count the words]?"), shown_words, str(len(words))
        )
    if draw < 0.7:
        return ask(
            writer,
            writer.fill("[Join the words with commas|Write a list with commas]."),
            shown_words,
            ", ".join(words),
        )
    if draw < 0.85:
        return ask(
            writer,
            writer.fill("[Write it in capitals|Make all letters large]."),
            shown_words,
            shown_words.upper(),
        )
    return ask(
        writer,
        writer.fill("[Write each word on its own line with a dash|Make a list]."),
        shown_words,
        "\n".join(f"- {word}" for word in words),
    )


def sort_in_turns(writer: Writer) -> Document:
    """Label several messages one after the other, with a list or by the examples alone."""
    topics = writer.pick_some(writer.topics, writer.between(2, 4))
    labels = label_style(writer, [writer.pick(topic.names) for topic in topics])
    if writer.chance(0.3):
        labels = _codes(writer, len(topics))
    system = ""
    if writer.chance(0.6):
        request = writer.fill(
            "[Sort every message|Label each message|Answer each message with one word]:"
        )
        system = f"{request} {listed(writer, writer.pick_some(labels, len(labels)))}"
    turns: list[Turn] = []
    for _ in range(writer.between(2, 7)):
        index = writer.between(0, len(topics) - 1)
        turns.append((writer.casual(writer.report(topics[index])), labels[index]))
    return conversation(*turns, system=system)
