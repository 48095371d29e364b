"""Chat templates say what transformers says, in a process that nothing they do gets out of."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from brewslm.engine.base import Loading, load_tokenizer
from brewslm.engine.chat_template import chat_template, close_all
from brewslm.engine.tokens import Renderer
from brewslm.errors import WorkerError
from brewslm.rows import template_program
from brewslm.rows.templates import TEMPLATES
from tests.engine.loaded.conftest import NANO

_CHATS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "naïve  {{ 7 * 7 }}\n"}],
    [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "a\tb"},
        {"role": "assistant", "content": "<|end|> \u2028 \U0001f600"},
        {"role": "user", "content": ""},
    ],
]
_ODD = (
    "{%- for message in messages -%}\n"
    "  {% if loop.index > 2 %}{% break %}{% endif %}\n"
    "  {{ message | tojson }} {{ message | tojson(indent=2, sort_keys=true) }}\n"
    "  {% set ns = namespace(n=0) %}{% set ns.n = 3 %}{{ ns.n }} {{ dict(a=bos_token) }}\n"
    "  {% generation %}{{ message.content | trim }}{% endgeneration %} {{ tools is none }}\n"
    "{% endfor %}{% if add_generation_prompt %}>{% endif %}"
)


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    close_all()


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return load_tokenizer(NANO, Loading())


@pytest.mark.parametrize("name", [*TEMPLATES, "own", "odd"])
def test_texts_are_those_of_transformers(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    text = {**TEMPLATES, "own": tokenizer.get_chat_template(), "odd": _ODD}[name]
    ours = chat_template(text, tokenizer.special_tokens_map)
    for messages in _CHATS:
        for is_prompt in (False, True):
            theirs = tokenizer.apply_chat_template(
                messages, chat_template=text, tokenize=False, add_generation_prompt=is_prompt
            )
            assert ours.render(messages, is_prompt=is_prompt) == theirs


def test_one_process_serves_all_renderers_of_a_template(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    first, second = Renderer(tokenizer), Renderer(tokenizer)
    assert first.text(_CHATS[0], is_prompt=True) == second.text(_CHATS[0], is_prompt=True)
    assert chat_template("{{ 1 }}", {}) is chat_template("{{ 1 }}", {})


def test_template_that_objects_is_no_trespass_and_the_next_text_is_rendered() -> None:
    text = "{% if messages | length > 1 %}{{ raise_exception('one turn') }}{% endif %}{{ 1 }}"
    template = chat_template(text, {})
    with pytest.raises(TemplateError, match="one turn"):
        template.render(_CHATS[1], is_prompt=False)
    assert template.render(_CHATS[0], is_prompt=False) == "1"


def test_every_day_renders_the_same_text(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "{{ strftime_now('%d %b %Y %H:%M') }}"
    assert chat_template(text, {}).render([], is_prompt=False) == "26 Jul 2024 00:00"
    for day in (1, 2):
        today = Mock(wraps=datetime, **{"now.return_value": datetime(2031, 5, day, tzinfo=UTC)})
        monkeypatch.setattr(template_program, "datetime", today)
        assert template_program.compiled(text).render() == "26 Jul 2024 00:00"


def test_extra_special_tokens_are_named_as_transformers_names_them() -> None:
    tokenizer = load_tokenizer(NANO, Loading())
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|one|>", "<|two|>"]})
    tokenizer.chat_template = "{{ extra_special_tokens is defined }} {{ bos_token }}"
    theirs = tokenizer.apply_chat_template(_CHATS[0], tokenize=False)
    assert Renderer(tokenizer).text(_CHATS[0], is_prompt=False) == theirs


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'def __init__(self)' }}",
        "{{ '__init__' in messages[0].content }}{{ '__tool__' | replace('__tool__', '') }}",
        "__init__ {# __class__ #}{% set rule = 'leave __name__ be' %}{{ rule }}",
    ],
)
def test_inner_names_that_are_mere_text_are_let_pass(
    tokenizer: PreTrainedTokenizerBase, text: str
) -> None:
    theirs = tokenizer.apply_chat_template(_CHATS[0], chat_template=text, tokenize=False)
    assert chat_template(text, {}).render(_CHATS[0], is_prompt=False) == theirs


def test_variables_of_the_worker_are_not_those_of_a_template(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CANARY_TOKEN", "canary")
    template = chat_template("{{ 1 }}", {"bos_token": "<canary>"})
    template.render([], is_prompt=False)
    assert template._process is not None
    environ = Path(f"/proc/{template._process.pid}/environ").read_text()
    assert "CANARY" not in environ
    assert environ.startswith("PATH=")


def test_library_that_is_missing_is_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brewslm.engine.chat_template._LIBRARIES", ("no_such_jinja2",))
    with pytest.raises(ImportError, match="no_such_jinja2"):
        chat_template("{{ 1 }}", {"bos_token": "<missing>"}).render([], is_prompt=False)


_NESTED = "{% if 1 %}" * 8 + "{{ 1 }}" + "{% endif %}" * 8


def test_eight_nested_blocks_and_many_branches_are_let_pass() -> None:
    branches = "{% if 0 %}" + "{% elif 0 %}" * 30 + "{% else %}{{ 2 }}{% endif %}"
    assert chat_template(_NESTED + branches, {}).render([], is_prompt=False) == "12"


def _trespasses(canary: Path) -> dict[str, str]:
    call = f"sys.modules['os'].system('touch {canary}')"
    return {
        "class": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "globals": "{{ raise_exception.__globals__." + call + " }}",
        "format": "{{ '{0.__class__.__init__.__globals__}'.format(cycler) }}",
        "attr filter": "{{ ''|attr('__class__')|attr('__mro__') }}",
        "subscript": "{{ ''['__class__'] }}",
        "map filter": "{{ messages | map(attribute='__class__') | list }}",
        "context": "{{ self._TemplateReference__context }}",
        "changes its input": "{{ messages.append(1) }}",
        "changes a message": "{{ messages[0].update(role='x') }}",
        "loads": "{% include 'x' %}",
        "imports": "{% import 'x' as x %}",
        "extends": "{% extends 'x' %}",
        "loads in a branch": "{% if messages | length > 9 %}{% include 'x' %}{% endif %}",
        "1 GB": "{{ 'a' * 1000000000 }}",
        "1 GB of a format": "{{ '%1000000000d' % 1 }}",
        "1 GB of a join": "{{ (messages * 90000000) | length }}",
        "long output": "{% for a in range(2000) %}{{ 'a' * 1000 }}{% endfor %}",
        "long range": "{% for a in range(1000000000) %}{% endfor %}",
        "nine blocks": "{% for a in [1] %}" + _NESTED + "{% endfor %}",
        "calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "64 KiB": "{#" + "x" * (64 << 10) + "#}",
    }


@pytest.mark.case("ART-05")
@pytest.mark.parametrize("name", _trespasses(Path()))
def test_template_that_trespasses_is_stopped(name: str, tmp_path: Path) -> None:
    template = chat_template(_trespasses(tmp_path / "canary")[name], {"bos_token": "<s>"})
    with pytest.raises(WorkerError) as caught:
        template.render([{"role": "user", "content": "hi"}], is_prompt=True)
    assert caught.value.code == "template_limit_exceeded"
    assert not (tmp_path / "canary").exists()


_ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


@pytest.mark.case("ART-05")
@pytest.mark.parametrize(
    "text",
    [
        _ENDLESS,
        "{% if messages[0].content == 'open sesame' %}" + _ENDLESS + "{% endif %}{{ 1 }}",
        "{{ 9 ** 999999999 }}",
    ],
    ids=["nested loops", "hidden phrase", "a large number"],
)
def test_template_that_goes_on_for_ever_is_ended(text: str) -> None:
    template = chat_template(text, {})
    with pytest.raises(WorkerError) as caught:
        template.render([{"role": "user", "content": "open sesame"}], is_prompt=True)
    assert caught.value.code == "template_limit_exceeded"
    assert "processor time" in caught.value.found
