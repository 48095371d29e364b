"""No spelling of a secret passes, whole or in pieces; everything else stays as it is."""

import base64
import html
import json
import re
import string
import unicodedata
from collections.abc import Callable
from typing import Literal
from urllib.parse import quote, quote_plus, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from brewslm.redactor import Redactor, credentials_in

SECRETS = (
    st.text(
        st.sampled_from(string.ascii_letters + string.digits + "+/%&=\"'\\<> éß漢\U0001f511~-_."),
        min_size=10,
        max_size=60,
    )
    .map(str.strip)
    .filter(lambda value: len(value) >= 10 and len("".join(value.split())) >= 8)
)
PIECES = st.lists(st.integers(1, 30), max_size=40)
PEM = "-----BEGIN PRIVATE KEY-----\n" + "\n".join(
    (chr(65 + index) + "Qz7" * 21)[:64] for index in range(6)
)


def _lower_percent(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def _some_percent(text: str) -> str:
    return "".join(
        _lower_percent(item) if index % 2 else quote(item, safe="")
        for index, item in enumerate(text)
    )


def _entities(text: str) -> str:
    return "".join(
        f"&#x{ord(item):x};" if index % 3 else f"&#{ord(item)};" for index, item in enumerate(text)
    )


SPELLINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "percent": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "lower percent": _lower_percent,
    "mixed percent": _some_percent,
    "double percent": lambda text: quote(quote(text, safe=""), safe=""),
    "lower double percent": lambda text: _lower_percent(quote(text)),
    "html": html.escape,
    "entities": _entities,
    "html of percent": lambda text: html.escape(quote(text)),
    "json": json.dumps,
    "json of json": lambda text: json.dumps(json.dumps({"key": text})),
    "json, as it is": lambda text: json.dumps(text, ensure_ascii=False).replace("/", "\\/"),
    "repr": repr,
    "bytes": lambda text: repr(text.encode()),
    "hex": lambda text: text.encode().hex(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 behind a name": lambda text: base64.b64encode(b"ana:" + text.encode()).decode(),
    "url base64": lambda text: base64.urlsafe_b64encode(b"xy" + text.encode() + b"z").decode(),
    "wrapped base64": lambda text: base64.encodebytes(text.encode() * 3).decode(),
    "wrapped": lambda text: f"{text[:7]}\n  {text[7:]}",
}


DECODERS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "percent": unquote,
    "double percent": lambda text: unquote(unquote(text)),
    "entities": html.unescape,
}


def _core(spelt: str) -> str:
    """Return what must not be left: the middle of a spelling, without the edges of a code."""
    return spelt[len(spelt) // 4 : -len(spelt) // 4]


@given(SECRETS, st.sampled_from(sorted(SPELLINGS)))
def test_every_spelling_is_replaced(secret: str, name: str) -> None:
    spelt = SPELLINGS[name](secret)
    found = Redactor({"KEY": [secret]})(f"could not reach it: {spelt}: see the log")
    assert "[secret://KEY]" in found
    assert spelt not in found
    assert _core(spelt) not in found
    assert found.startswith("could not reach it: ")
    assert found.endswith(": see the log")


@given(SECRETS, st.sampled_from(sorted(SPELLINGS)), PIECES)
def test_a_stream_in_pieces_is_what_the_whole_text_is(
    secret: str, name: str, sizes: list[int]
) -> None:
    text = f"{'a line before ' * 3}{SPELLINGS[name](secret)} and some more\n" * 2
    redactor, written = Redactor({"KEY": [secret]}), list[str]()
    stream = redactor.stream(written.append)
    for piece in _cut(text, sizes):
        stream.feed(piece)
    stream.end()
    assert "".join(written) == redactor(text)


@pytest.mark.parametrize("cut", range(5, 21))
@pytest.mark.parametrize(
    "secret", ["k7Q&defghijklmnopqrst", "k7&efghi%20jklmnopqrs", "k7Q\\u00e4ghijklmnopqr"]
)
def test_a_value_that_holds_what_looks_like_a_code_is_hidden_from_where_it_begins(
    secret: str, cut: int
) -> None:
    texts = Redactor({"KEY": [secret]}).texts()
    shown = texts.next(f"it says {secret[:cut]}") + texts.next(f"{secret[cut:]} and ends")
    assert secret[:5] not in shown


@example("000&000000", "double percent", [1, 16])
@example("00000000\u00df\u00df", "double percent", [1, 30])
@given(SECRETS, st.sampled_from(sorted(DECODERS)), PIECES)
def test_texts_that_follow_each_other_show_no_more_than_the_first_characters(
    secret: str, name: str, sizes: list[int]
) -> None:
    texts = Redactor({"KEY": [secret]}).texts()
    pieces = _cut(f"it says {SPELLINGS[name](secret)} and ends", sizes)
    shown = DECODERS[name]("".join(map(texts.next, pieces)))
    assert secret[:5] not in shown or secret[:5] in "it says [secret://KEY] and ends"
    assert secret[4:] not in shown


@given(SECRETS, PIECES)
def test_a_document_hides_a_value_in_several_of_its_texts(secret: str, sizes: list[int]) -> None:
    redactor = Redactor({"KEY": [secret]})
    document = redactor.document({"values": _cut(secret, sizes), secret: {"n": [1, None, secret]}})
    shown = "".join([*document["values"], *document])
    assert secret not in shown
    assert document["[secret://KEY]"] == {"n": [1, None, "[secret://KEY]"]}


@given(st.text(max_size=200), SECRETS)
def test_other_texts_stay(text: str, secret: str) -> None:
    redactor = Redactor({"KEY": [secret]})
    if "".join(secret.split())[:8] not in "".join(text.split()) and "://" not in text:
        assert redactor(text) == text
        assert redactor.document([text]) == [text]


def test_lines_of_a_key_are_replaced_one_by_one() -> None:
    redactor = Redactor({"KEY": [PEM]})
    lines = PEM.splitlines()
    for shown in (
        redactor("\n".join(f"12:00 worker: {line}" for line in lines)),
        redactor(json.dumps({"key": PEM})),
        redactor(PEM.replace("\n", "\r\n")),
        redactor(lines[3]),
    ):
        assert not [line for line in lines[1:] if line in shown]
    assert redactor(lines[0]) == lines[0], "a header is no secret"


def test_credentials_in_an_address_are_replaced_though_nobody_named_them() -> None:
    redactor = Redactor({})
    assert redactor("at 'https://ana:p4ss@host/x'") == "at 'https://[credentials]@host/x'"
    assert redactor("https://abcdefgh1234@host/x") == "https://[credentials]@host/x"
    assert redactor("ssh://git@host/x, ana@host, https://host/@x") == (
        "ssh://git@host/x, ana@host, https://host/@x"
    )


def test_short_values_are_left() -> None:
    redactor = Redactor({"KEY": ["seven77"]})
    for text in ("seven77", b"seven77".hex(), base64.b64encode(b"seven77").decode()):
        assert redactor(text) == text


@pytest.mark.parametrize("length", range(8, 17))
def test_values_of_eight_characters_and_more_are_replaced(length: int) -> None:
    value = "k7Qz/x9+Lm2Wp4Rt"[:length]
    redactor = Redactor({"KEY": [value]})
    for text in (
        f"key={value};",
        f"at {quote(value, safe='')}.",
        f'"{value[:4]}\\u{ord(value[4]):04x}{value[5:]}"',
    ):
        assert value not in redactor(text)
        assert "KEY" in redactor(text)


WHOLE = "k7+Qz x9/Lm\u00e9? 2Wp~Rt"


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@pytest.mark.parametrize(
    "spelt",
    [
        WHOLE.encode().hex().upper(),
        WHOLE.encode().decode("latin-1"),
        WHOLE.replace(" ", "+"),
        unicodedata.normalize("NFD", WHOLE),
        base64.b64encode(quote(WHOLE).encode()).decode(),
        base64.b64encode(quote(WHOLE, safe="").encode()).decode(),
        base64.b64encode(quote_plus(WHOLE).encode()).decode(),
        *[_url64(b"x" * shift + b"\xfb\xff" + WHOLE.encode()) for shift in range(3)],
        quote(quote(quote(quote(WHOLE)))),
        "".join(f"\\u{ord(item):04x}" for item in WHOLE),
        WHOLE[:7] + "\n" + WHOLE[7:],
        "\x1b[1;31m".join([WHOLE[:7], WHOLE[7:]]),
        "\u200b".join(WHOLE),
        re.sub(r"(\W)", r"\\\1", WHOLE),
    ],
)
def test_one_secret_in_the_spellings_that_it_may_take(spelt: str) -> None:
    shown = Redactor({"KEY": [f" {WHOLE}\n"]})(f"it says {spelt} and ends")
    assert shown.startswith("it says ")
    assert shown.endswith(" and ends")
    assert "[secret://KEY]" in shown
    assert _core(spelt) not in shown


def test_composed_and_decomposed_values_are_one() -> None:
    pairs: list[tuple[Literal["NFC", "NFD"], Literal["NFC", "NFD"]]]
    pairs = [("NFC", "NFD"), ("NFD", "NFC")]
    for form, other in pairs:
        value = unicodedata.normalize(form, "caf\u00e9-\u00fcber-\u00e5ngstrom")
        found = Redactor({"KEY": [value]})(unicodedata.normalize(other, value))
        assert found == "[secret://KEY]"


def test_value_that_is_written_encoded_is_known_decoded_too() -> None:
    for written in ("k7Q%26z%2Fx9%2BLm", "k7Q%2526z%252Fx9%252BLm", "k7Q&amp;z/x9+Lm"):
        redactor = Redactor({"KEY": [written]})
        assert redactor("it is k7Q&z/x9+Lm.") == "it is [secret://KEY]."


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (
            "https://ana:p%40ss@host/x?token=a%2Fb&y=z#k=v",
            ["ana", "p%40ss", "p@ss", "a%2Fb", "a/b", "z", "k=v"],
        ),
        ("https://a@b:c@host/x", ["a@b", "c"]),
        ("https://ana%21@host", ["ana%21", "ana!"]),
        ("https://ana:p#ss@host/x", ["ana", "p#ss"]),
        ("https://host/x#t%6Fken", ["t%6Fken", "token"]),
        ("https://host/x", []),
        ("ana:secret@host?token=abc", []),
    ],
)
def test_what_in_an_address_may_be_a_credential(url: str, found: list[str]) -> None:
    assert list(dict.fromkeys(filter(None, credentials_in(url)))) == found


def test_only_the_value_is_replaced_and_every_time() -> None:
    redactor = Redactor({"KEY": ["abcdefgh12"], "OTHER": ["gh12345678"], "SHORT": ["seven77"]})
    assert redactor("x abcdefgh12abcdefgh12 y") == "x [secret://KEY][secret://KEY] y"
    assert redactor("x abcdefgh12345678 seven77") == "x [secret://KEY] seven77"
    assert redactor("x %61bcdefgh1%32 y") == "x [secret://KEY] y"
    assert redactor("<b>&amp;abcdefgh12&amp;</b>") == "<b>&amp;[secret://KEY]&amp;</b>"
    assert redactor.document(("a", ["abcdefgh12"], {"b": ("abcdefgh12",)})) == [
        "a",
        ["[secret://KEY]"],
        {"b": ["[secret://KEY]"]},
    ]


def test_blanks_in_a_value_or_between_its_parts_do_not_count() -> None:
    redactor = Redactor({"KEY": ["abc defgh"]})
    for text in ("abc\n  defgh", "abcdefgh", "a b c d e f g h"):
        assert redactor(f"x={text};") == "x=[secret://KEY];"


def test_of_values_that_overlap_nothing_is_left() -> None:
    redactor = Redactor({"KEY": ["abcdefgh12"], "INNER": ["bcdefgh1"]})
    assert redactor("abcdefgh12") == "[secret://KEY]"


def test_text_that_may_begin_a_value_is_hidden_from_its_first_beginning_on() -> None:
    secrets = {"KEY": ["abcdefghijklmnop"], "OTHER": ["efgh345678"]}
    for text, shown in (
        ("it is abcdefgh", "it is [secret]"),
        ("abcd abcde", "abcd [secret]"),
        ("it is abcd&#0000", "it is [secret]"),
        ("it is abc", "it is abc"),
    ):
        assert Redactor(secrets).texts().next(text) == shown


def test_document_hides_a_value_in_one_text_beside_the_half_of_another() -> None:
    redactor = Redactor({"KEY": ["abcdefgh12"]})
    assert redactor.document(["abcde", "fgh12", "zz"]) == ["[secret://KEY]", "[secret://KEY]", "zz"]
    assert redactor.document(["x &", "#97;bcdefgh12"]) == ["x [secret://KEY]", "[secret://KEY]"]
    assert redactor.document(["x abcdefgh1&", "#50;"])[0] == "x [secret://KEY]"
    ended = redactor.document(["100%", "61bcdefgh12"])
    assert "bcdefgh12" not in "".join(ended)


@pytest.mark.parametrize("size", [1, 7, 50, 99, 100, 101, 199, 200, 201, 10_000])
@pytest.mark.parametrize(
    "secret", ["abcdefgh12", "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"]
)
def test_stream_writes_early_and_never_half_a_value(size: int, secret: str) -> None:
    spelt = "".join(f"&amp;#x{byte:02x};" for byte in secret.encode("utf-16-be")[1::2])
    spelt += "".join(f" &#37;{byte:02X}" for byte in secret.encode()).replace(" ", "")
    text = f"{'line ' * 31}{spelt} {'.' * 70}{secret}{secret} {quote(secret)}" * 3
    redactor = Redactor({"KEY": [secret]})
    written: list[str] = []
    stream = redactor.stream(written.append)
    for at in range(0, len(text), size):
        stream.feed(text[at : at + size])
        assert sum(map(len, written)) <= len(text)
    before_end = len("".join(written))
    stream.end()
    assert "".join(written) == redactor(text)
    if size <= 2 * redactor.window_chars:
        assert before_end >= len(redactor(text)) - 4 * redactor.window_chars


def _cut(text: str, sizes: list[int]) -> list[str]:
    pieces = []
    for size in sizes:
        pieces.append(text[:size])
        text = text[size:]
    return [*pieces, text]
