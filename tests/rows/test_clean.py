"""Cleaning: credentials and personal data by type, spans that follow their text."""

from typing import Any

import pytest

from brewslm.rows.clean import CleaningTally, clean
from brewslm.rows.dataset import CleaningSpec
from brewslm.rows.pii import find_pii, find_secret, redacted
from brewslm.rows.record import Example, Flag, Position
from brewslm.rows.rejects import RejectedRow


def example(inputs: dict[str, Any], reference: dict[str, Any], profile: str) -> Example:
    return Example(Position("a", 1), "", None, profile, inputs, reference)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("write to mira@example.org now", ["EMAIL"]),
        ("mira@localhost", []),
        ("call +49 170 1234567", ["PHONE"]),
        ("call 0170/123 45 67", ["PHONE"]),
        ("at 2024-01-02 10:30", []),
        ("order 123456789012", []),
        ("ssn 123-45-6789", ["SSN"]),
        ("ssn 666-45-6789", []),
        ("card 4111 1111 1111 1111", ["CREDIT_CARD"]),
        ("card 4111111111111112", []),
        ("iban DE89 3704 0044 0532 0130 00", ["IBAN"]),
        ("iban DE88 3704 0044 0532 0130 00", []),
        ("host 8.8.8.8", ["IP_ADDRESS"]),
        ("host 192.168.1.20 and 999.1.1.1", []),
        ("pump 3 stops after 10 minutes", []),
    ],
)
def test_personal_data_is_found_and_confirmed(text: str, kinds: list[str]) -> None:
    found = [span.type for span in find_pii(text)]
    assert [kind for kind in found if kind in kinds or not kinds] == kinds or found == kinds


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("key AKIA" + "ABCDEFGHIJKLMNOP", "AWS_KEY"),
        ("token ghp_" + "a1" * 18, "API_KEY"),
        ("token hf_" + "a1" * 17, "API_KEY"),
        ("-----BEGIN RSA " + "PRIVATE KEY-----", "PRIVATE_KEY"),
        ("eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", "JWT"),
        ("postgres://mira:" + "secret@db.example.org/x", "URL_CREDENTIALS"),
        ("https://example.org:8080/path@x and sk-short", ""),
    ],
)
def test_credentials_are_found(text: str, kind: str) -> None:
    assert find_secret(text) == kind


def test_redaction_marks_types_and_spares_answers() -> None:
    text = "from a@example.org to b@example.org"
    assert redacted(text)[0] == "from [REDACTED_EMAIL] to [REDACTED_EMAIL]"
    spared = redacted(text, frozenset({"b@example.org"}))[0]
    assert spared == "from [REDACTED_EMAIL] to b@example.org"


@pytest.mark.parametrize("pii", ["warn", "redact"])
def test_spans_follow_their_text(pii: Any) -> None:
    text = "cafe\u0301\r\nmail a@example.org about Pump 3"
    start = text.index("Pump 3")
    entity = {"type": "asset", "start": start, "end": start + 6, "text": "Pump 3"}
    item = example({"text": text}, {"entities": [entity]}, "structured_extraction")
    clean(item, CleaningSpec(pii=pii), CleaningTally())
    [moved] = item.reference["entities"]
    assert item.inputs["text"][moved["start"] : moved["end"]] == "Pump 3"
    assert ("[REDACTED_EMAIL]" in item.inputs["text"]) == (pii == "redact")


def test_a_span_that_cuts_a_changed_run_is_an_offset_mismatch() -> None:
    entity = {"type": "x", "start": 0, "end": 4, "text": "cafe"}
    item = example({"text": "cafe\u0301"}, {"entities": [entity]}, "structured_extraction")
    with pytest.raises(RejectedRow) as caught:
        clean(item, CleaningSpec(), CleaningTally())
    assert caught.value.code == "offset_mismatch"


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (CleaningSpec(min_chars=5), "text_too_short"),
        (CleaningSpec(max_chars=10), "text_too_long"),
    ],
)
def test_lengths_have_limits(settings: CleaningSpec, code: str) -> None:
    item = example({"instruction": "a long instruction"}, {"text": "ok"}, "instruction_sft")
    with pytest.raises(RejectedRow) as caught:
        clean(item, settings, CleaningTally())
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("a\u202eb", Flag.BIDI_CONTROL),
        ("a\u200bb", Flag.INVISIBLE_CHARACTER),
        ("a\x07b", Flag.CONTROL_CHARACTER),
        ("a &amp; b", Flag.HTML_ENTITY),
    ],
)
def test_odd_characters_are_flagged_and_kept(text: str, flag: Flag) -> None:
    item = example({}, {"text": text}, "language_modeling")
    clean(item, CleaningSpec(), CleaningTally())
    assert item.flags == {flag}
    assert item.reference["text"] == text
