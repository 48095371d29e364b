"""The vocabulary of `builtin:nano`: one SentencePiece BPE model in two formats."""

import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import sentencepiece
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from brewslm.engine.nano.corpus import documents
from brewslm.engine.nano.document import Document
from brewslm.engine.nano.left_out import LeftOut

VOCABULARY_PIECES: Final = 2048
CONTEXT_TOKENS: Final = 1024

UNKNOWN: Final = "<unk>"
BEGIN: Final = "<s>"
END_OF_TEXT: Final = "</s>"
PAD: Final = "<pad>"
SYSTEM: Final = "<|system|>"
USER: Final = "<|user|>"
ASSISTANT: Final = "<|assistant|>"
END_OF_TURN: Final = "<|end|>"

_CONTROL: Final = (UNKNOWN, BEGIN, END_OF_TEXT, PAD)
_MARKERS: Final = (SYSTEM, USER, ASSISTANT, END_OF_TURN)
_SPACE: Final = "\u2581"
_PRINTABLE: Final = "".join(chr(code) for code in range(33, 127))

CHAT_TEMPLATE: Final = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{{- '<|assistant|>' -}}"
    "{%- generation -%}{{- message['content'] + '<|end|>' -}}{%- endgeneration -%}"
    "{%- elif message['role'] in ('system', 'user') -%}"
    "{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}"
    "{%- else -%}"
    "{{- raise_exception('roles are system, user and assistant, not ' + message['role']) -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
"""No white space between turns: each marker is one token, and the turns before it never change."""


def train_sentencepiece(seed: int, documents_read: int, left_out: LeftOut) -> bytes:
    """The bytes of `tokenizer.model`, learned from the first documents of the corpus.

    Nothing is normalised, no space is put in front, digits stay alone, and characters that are
    not in the vocabulary become bytes.
    """
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=_lines(itertools.islice(documents(seed, left_out), documents_read)),
        model_writer=model,
        model_type="bpe",
        vocab_size=VOCABULARY_PIECES,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        byte_fallback=True,
        split_digits=True,
        character_coverage=0.9999,
        required_chars=_PRINTABLE,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=3,
        pad_piece=PAD,
        user_defined_symbols=list(_MARKERS),
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def _lines(stream: Iterator[Document]) -> Iterator[str]:
    for document in stream:
        contents = [message["content"] for message in document.messages()]
        for content in [document.text, *contents]:
            yield from filter(None, content.split("\n"))


def fast_tokenizer(model: bytes) -> PreTrainedTokenizerFast:
    """The tokenizer with the ids of the SentencePiece model, special tokens and a chat template."""
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
    vocabulary = {pieces.id_to_piece(token): token for token in range(pieces.get_piece_size())}
    backend = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=_merges(pieces, vocabulary),
            unk_token=UNKNOWN,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    backend.normalizer = normalizers.Replace(" ", _SPACE)
    backend.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    backend.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in (*_CONTROL, *_MARKERS)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, chat_template=CHAT_TEMPLATE, **_settings()
    )


def _settings() -> dict[str, object]:
    return {
        "unk_token": UNKNOWN,
        "bos_token": BEGIN,
        "eos_token": END_OF_TURN,
        "pad_token": PAD,
        "additional_special_tokens": [SYSTEM, USER, ASSISTANT],
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": CONTEXT_TOKENS,
    }


def save(model: bytes, folder: Path) -> None:
    """Both formats of the tokenizer, its settings and the chat template are in the folder.

    The settings are written here, since converters look for `add_bos_token`, which the library
    leaves out, and since older releases of the library do not know its newest class name.
    """
    fast_tokenizer(model).backend_tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer.model").write_bytes(model)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **_settings()}
    (folder / "tokenizer_config.json").write_text(
        json.dumps(settings, indent=2) + "\n", encoding="utf-8"
    )


def _merges(
    pieces: sentencepiece.SentencePieceProcessor, vocabulary: dict[str, int]
) -> list[tuple[str, str]]:
    """Every pair of pieces that joins to a piece, best score first as SentencePiece joins them."""
    ranked: list[tuple[float, int, int, tuple[str, str]]] = []
    for piece, token in vocabulary.items():
        if pieces.is_control(token) or pieces.is_byte(token) or piece in _MARKERS:
            continue
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in vocabulary and right in vocabulary:
                ranked.append(
                    (-pieces.get_score(token), vocabulary[left], vocabulary[right], (left, right))
                )
    return [pair for *_, pair in sorted(ranked)]
