"""Conversations of several turns, with and without a system message, and plain passages."""

from brewslm.engine.nano.document import Document, Turn, conversation
from brewslm.engine.nano.words import Topic
from brewslm.engine.nano.writer import Writer


def story(writer: Writer) -> str:
    """A few plain sentences about a person and a thing."""
    return " ".join(sentence for sentence, _ in _events(writer, writer.between(1, 4)))


def passage(writer: Writer) -> Document:
    """A plain text: events, or what people say about one topic, or both."""
    draw = writer.rng.random()
    if draw < 0.3:
        return Document(text=story(writer))
    topic = writer.pick(writer.topics)
    reports = [writer.sentence(writer.report(topic)) for _ in range(writer.between(2, 5))]
    if draw < 0.6:
        return Document(text=" ".join(reports))
    if draw < 0.8:
        head = writer.pick(topic.names).capitalize()
        return Document(text=f"{head}\n" + "\n".join(f"- {report}" for report in reports))
    name = writer.word("first")
    reply = writer.sentence(writer.answer(topic))
    return Document(text=f'{name} wrote: "{reports[0]}" The answer was: "{reply}"')


def _events(writer: Writer, count: int) -> list[tuple[str, dict[str, str]]]:
    events = []
    for name in writer.pick_some(writer.words["first"], count):
        item, place, when = writer.word("item"), writer.word("place"), writer.word("when")
        why, did, adjective = writer.word("because"), writer.word("did"), writer.word("adjective")
        form = writer.between(0, 3)
        if form == 0:
            text = f"{name} {did} the {adjective} {item} in the {place} {when} because {why}."
        elif form == 1:
            text = (
                f"{when.capitalize()}, {name} {writer.word('adverb')} {did} the {adjective} {item}"
                f" in the {place}, because {why}."
            )
        elif form == 2:
            text = (
                f"{name} was {writer.word('felt')} because {why}, so {name} {did}"
                f" the {adjective} {item} in the {place} {when}."
            )
        else:
            text = (
                f"In the {place} {name} {did} the {adjective} {item} {when}."
                f" The reason was clear: {why}."
            )
        facts = {
            f"Who {did} the {item}?": name,
            f"What was {did} by {name}?": f"the {adjective} {item}",
            f"Where was {name}?": f"in the {place}",
            f"When did {name} do it?": when,
            f"Why did {name} do it?": f"because {why}",
        }
        events.append((text, facts))
    return events


def story_questions(writer: Writer) -> Document:
    """Questions about a short story, answered in its words."""
    events = _events(writer, writer.between(1, 4))
    text = " ".join(sentence for sentence, _ in events)
    facts = [fact for _, known in events for fact in known.items()]
    chosen = writer.pick_some(facts, writer.between(1, 3))
    if writer.chance(0.4):
        request = writer.fill("[Answer from the text|Use only this text|Read and answer]:")
        return conversation(*chosen, system=f"{request} {text}")
    return conversation((f"{text}\n{chosen[0][0]}", chosen[0][1]), *chosen[1:])


def service_chat(writer: Writer) -> Document:
    """A customer and a desk: a greeting, a report, an answer, a closing."""
    topic = writer.pick(writer.topics)
    opener, closer, rules = _manner(writer)
    turns: list[Turn] = []
    if writer.chance(0.35):
        turns.append(
            (
                _greeting(writer),
                _framed(opener, f"{writer.word('hello')}. How can I help you?", closer),
            )
        )
    for _ in range(writer.pick((1, 1, 1, 2, 2, 3, 5))):
        if writer.chance(0.2):
            topic = writer.pick(writer.topics)
        turns.append(
            (writer.casual(writer.report(topic)), _framed(opener, _reply(writer, topic), closer))
        )
    if writer.chance(0.4):
        turns.append(
            (
                writer.sentence(writer.word("done")),
                _framed(opener, writer.sentence(writer.word("bye")), closer),
            )
        )
    persona = writer.fill(writer.fill(f"You are {writer.word('persona')}."))
    system = " ".join(part for part in (persona if writer.chance(0.6) else "", *rules) if part)
    return conversation(*turns, system=system)


def _manner(writer: Writer) -> tuple[str, str, list[str]]:
    opener = writer.fill(writer.word("phrase")) if writer.chance(0.25) else ""
    closer = writer.fill(writer.word("phrase")) if writer.chance(0.3) else ""
    rules = []
    if opener:
        rules.append(
            writer.fill("[Start|Begin|Open] [each|every] [answer|reply|message] with:")
            + f" {opener}"
        )
    if closer:
        rules.append(
            writer.fill("[End|Close|Finish] [each|every] [answer|reply|message] with:")
            + f" {closer}"
        )
    if not rules and writer.chance(0.5):
        rules.append(writer.word("style"))
    return opener, closer, rules


def _framed(opener: str, body: str, closer: str) -> str:
    return " ".join(part for part in (opener, body, closer) if part)


def _greeting(writer: Writer) -> str:
    tail = "[|, I have a question.|!|, can you help me?|, it is {first} here.]"
    return writer.fill(writer.word("hello") + tail)


def _reply(writer: Writer, topic: Topic) -> str:
    parts = [writer.sentence(writer.answer(topic, writer.slots))]
    if writer.chance(0.35):
        parts.insert(0, writer.word(writer.pick(("sorry", "sure"))) + ".")
    if writer.chance(0.2):
        parts.append(writer.word("offer") + "?")
    return " ".join(parts)


def fill_in_details(writer: Writer) -> Document:
    """The desk asks for a detail, gets it and repeats it."""
    slot, name = writer.pick(
        (
            ("order", "order number"),
            ("name", "full name"),
            ("email", "mail address"),
            ("phone", "phone number"),
            ("city", "city"),
            ("date", "date"),
        )
    )
    topic = writer.pick(writer.topics)
    value = writer.slot(slot)
    report = writer.casual(writer.report(topic))
    answer = writer.sentence(writer.answer(topic, {**writer.slots, slot: value}))
    known = {"wanted": name, "value": value}
    given = writer.fill("[It is {value}.|{value}|My {wanted} is {value}.|Sure, {value}]", known)
    asked = writer.fill(
        "[Please tell me your {wanted}.|What is your {wanted}?|May I have your {wanted}?]", known
    )
    noted = writer.fill(
        "[Thank you, I have noted|I wrote down|Thanks, the {wanted} is] {value}.", known
    )
    turns = [(report, asked), (given, f"{noted} {answer}")]
    if writer.chance(0.4):
        turns.append((f"What was my {name} again?", f"Your {name} is {value}."))
    return conversation(*turns, system=writer.word("style") if writer.chance(0.4) else "")
