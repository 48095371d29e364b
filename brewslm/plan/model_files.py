"""Which files of a model's folder are loaded, how large they may be, which keys its JSON may have.

What is not listed here is never loaded. Nothing here is opened by a library, and nothing that could
run code is opened at all: a file is refused by its name, a configuration by its keys and by values
that name places to load from.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from brewslm.errors import PlanError
from brewslm.plan.hub_cache import is_snapshot
from brewslm.plan.safetensors import INDEX, MAX_INDEX_BYTES
from brewslm.rows.tokenizer_trial import MAX_BYTES as MAX_TOKENIZER_BYTES

BUILTIN = Path(__file__).parent.parent / "builtin"
CONFIG = "config.json"
ONE_FILE = "model.safetensors"
"""The name that libraries load weights by where no index names others."""
MAX_CONFIG_BYTES = 1 << 20
_MAX_TOKENIZER_CONFIG_BYTES = 4 << 20
_MAX_TEMPLATE_BYTES = 64 << 10
_MAX_DEPTH = 32

_LARGEST = {
    CONFIG: MAX_CONFIG_BYTES,
    INDEX: MAX_INDEX_BYTES,
    "generation_config.json": MAX_CONFIG_BYTES,
    "tokenizer.json": MAX_TOKENIZER_BYTES,
    "tokenizer.model": MAX_TOKENIZER_BYTES,
    "tokenizer_config.json": _MAX_TOKENIZER_CONFIG_BYTES,
    "special_tokens_map.json": MAX_CONFIG_BYTES,
    "added_tokens.json": MAX_TOKENIZER_BYTES,
    "vocab.json": MAX_TOKENIZER_BYTES,
    "merges.txt": MAX_TOKENIZER_BYTES,
    "chat_template.jinja": _MAX_TEMPLATE_BYTES,
    "chat_template.json": MAX_CONFIG_BYTES,
}
"""Files that decide what a model computes, beside its weights, with the most bytes of each."""
_OBJECTS = ("added_tokens.json", "chat_template.json", "vocab.json")
_TEXTS = ("chat_template.jinja", "merges.txt")
_WEIGHTS = re.compile(r"(?!consolidated).*\.safetensors")
"""Weights by the name that libraries load; some models lie there a second time in the layout of
their makers, as consolidated.safetensors.
"""
_CODE = re.compile(r".*\.(py[a-z]?|so(\.\d+)*|dll|dylib|exe)", re.IGNORECASE)
_LORA_CONFIG = "adapter_config.json"
_PAPERS = re.compile(
    r"\..*|(README|LICEN[CS]E|NOTICE|COPYING|USE_POLICY)(\.(txt|rst|html))?"
    r"|.*\.(md|png|jpe?g|svg|gif|webp|pdf)",
    re.IGNORECASE,
)

_QUANTIZATION_KEYS = ("quantization_config", "quantization", "compression_config")
_CODE_KEYS = ("auto_map", "auto_mapping", "custom_pipelines", "trust_remote_code")
_INNER_KEYS = (
    *("_name_or_path", "_model_name_or_path", "_commit_hash", "_from_model_config"),
    "_sliding_window_pattern",
    *("_load_in_4bit", "_load_in_8bit", "_pre_quantization_dtype", "__float__"),
)
"""Keys with a leading underscore that libraries write into configurations and that load nothing."""
_NAMES = (
    *("_name_or_path", "name_or_path", "_model_name_or_path", "model_name_or_path", "model_name"),
    *("base_model", "finetuned_from", "teacher_model"),
)
"""Keys whose value says where a model came from; it is never resolved."""
_LABELS = ("id2label", "label2id")
"""Keys whose values hold names of classes, which may look like anything."""
_PLACE = re.compile(r"\w+://.*|(\.{0,2}|~\w*)/.*|[A-Za-z]:[\\/].*|[\w.-]+/[\w.-]+", re.DOTALL)
"""A URL, a path, or owner/repo."""


def names_of_files(folder: Path, root: Path) -> list[str]:
    """Return the names of the files that are loaded of a model, weights last.

    root: the project folder. Raises: PlanError with code BASE_REFUSED for files that are too large,
    and for a folder that holds code or a LoRA adapter; with PATH_OUTSIDE_PROJECT for a link that
    leads out of where the model belongs.
    """
    found = sorted(path.name for path in folder.iterdir())
    refused = [name for name in found if name == _LORA_CONFIG or _CODE.fullmatch(name)]
    if refused:
        raise _refused(
            "the folder of the base model holds code, or a LoRA adapter; nothing of it is opened",
            found=", ".join(refused[:8]),
            expected="config, tokenizer, chat template and *.safetensors",
            remedy="delete it, or take a model that needs no code of its own; merge an adapter "
            "into its base first",
        )
    names = [name for name in _LARGEST if (folder / name).is_file()]
    for name in names:
        size_bytes = (folder / name).stat().st_size
        if size_bytes > _LARGEST[name]:
            raise _refused(
                f"{name} of the base model is too large",
                found=f"{size_bytes} bytes",
                expected=f"at most {_LARGEST[name]}",
                remedy="fetch the model again, or take another one",
            )
    names += [path.name for path in weight_files(folder)]
    _check_links(folder, names, root)
    return names


def _check_links(folder: Path, names: Iterable[str], root: Path) -> None:
    """Refuse files that are links to somewhere else: out of the project for a folder of its own,
    out of the model's part of the Hub's cache for a snapshot, whose files are links to its blobs.
    """
    if folder.parent == BUILTIN:
        return
    within = folder.parents[1].resolve() if is_snapshot(folder) else root.resolve()
    for name in names:
        target = (folder / name).resolve()
        if not target.is_relative_to(within):
            raise PlanError(
                f'"{name}" of the base model is a link to a file outside the project',
                code="PATH_OUTSIDE_PROJECT",
                found=str(target),
                expected="a file, or a link to one inside the project; a model of the Hub's cache "
                "links to its own blobs",
                remedy="put the file itself in its place: cp --remove-destination "
                f"{quote(str(target))} {quote(str(folder / name))}",
            )


def weight_files(folder: Path) -> list[Path]:
    """Return the weights that are loaded of a model, sorted by name: its one file, whatever lies
    beside it, else those that an index has to name.
    """
    found = sorted(folder.glob("*.safetensors"))
    whole = folder / ONE_FILE
    if whole.is_file() and not (folder / INDEX).is_file():
        return [whole]
    return [path for path in found if path.is_file() and _WEIGHTS.fullmatch(path.name)]


def unread_names(folder: Path, loaded: Collection[str]) -> tuple[str, ...]:
    """Return the names of what else lies in a model's folder, without what is for people."""
    found = sorted(path.name for path in folder.iterdir())
    return tuple(name for name in found if name not in loaded and not _is_paper(name))


def changed_names(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the names of the files that differ in their digests, or that only one side has."""
    return sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )


def is_model_file(name: str) -> bool:
    """Return whether a file may lie beside the weights of a model."""
    return name in _LARGEST or _is_paper(name)


def check_keys(folder: Path) -> None:
    """Refuse configurations that name code, or places to load something from, and files beside them
    that are not what their names say.

    Raises: PlanError with code CONFIG_KEY_REFUSED or BASE_REFUSED.
    """
    for name in (*_OBJECTS, *_TEXTS):
        if (folder / name).is_file():
            _check_form(folder / name)
    for name in (CONFIG, "generation_config.json"):
        document = read_document(folder / name) if (folder / name).is_file() else {}
        _check(name, refused_key(document))
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        document = read_document(folder / name) if (folder / name).is_file() else {}
        _check(name, _refused_tokenizer_key(document, folder))


def _check_form(path: Path) -> None:
    """Refuse what is no text, or no JSON object where the name says so; a library may open it."""
    data = path.read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise _unreadable(path.name, str(error), "text in UTF-8") from error
    if path.name in _OBJECTS and not text.lstrip().startswith("{"):
        raise _unreadable(path.name, "no JSON object")


def check_quantization(config: Mapping[str, Any]) -> str:
    """Return how the weights of a model are quantised by its config, as a recipe names it; empty
    where they are not.

    Raises: PlanError with code MODEL_QUANTIZED for methods that nothing here can train on.
    """
    found = next((config[key] for key in _QUANTIZATION_KEYS if config.get(key)), None)
    if found is None:
        return ""
    settings: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    is_4bit, is_8bit = (
        any(settings.get(key) is True for key in (f"load_in_{bits}bit", f"_load_in_{bits}bit"))
        for bits in (4, 8)
    )
    method = settings.get("quant_method", "bitsandbytes" if is_4bit or is_8bit else None)
    kind = settings.get("bnb_4bit_quant_type", "fp4") if is_4bit else "int8"
    is_known = method == "bitsandbytes" and is_4bit != is_8bit and kind in ("nf4", "fp4", "int8")
    if not is_known:
        raise PlanError(
            "the weights of the base model are quantised in a way that cannot be trained on",
            code="MODEL_QUANTIZED",
            found=f"quant_method {str(method)[:40]}",
            expected="weights that are not quantised, or quantised by bitsandbytes",
            remedy="take the model that it was made from, and write quantization: nf4 in "
            "training_plan.config to hold it in 4 bits",
        )
    return str(kind)


def read_document(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file that `names_of_files` let pass.

    Raises: PlanError with code BASE_REFUSED.
    """
    try:
        document = json.loads(
            path.read_bytes(), object_pairs_hook=_distinct, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise _unreadable(path.name, str(error)) from error
    if not isinstance(document, dict) or _depth(document) > _MAX_DEPTH:
        raise _unreadable(path.name, "no JSON object, or one that is too deep")
    return document


def refused_key(document: Mapping[str, Any]) -> str | None:
    """Return the first key of a configuration, at any level, that names code or a place."""
    return next((key for key, value in _entries(document) if _is_refused(key, value)), None)


def _is_paper(name: str) -> bool:
    """Return whether a file is meant for people, so that no library reads it."""
    return _PAPERS.fullmatch(name) is not None


def _refused_tokenizer_key(document: Mapping[str, Any], folder: Path) -> str | None:
    """Return the first key that names code or another file than those in the folder; tokens and
    templates may look like places.
    """
    for key, value in document.items():
        is_file = key.endswith("_file") and key != "special_tokens_map_file"
        is_own = isinstance(value, str) and value in _LARGEST and (folder / value).is_file()
        if value is not None and ((is_file and not is_own) or _is_code(key, value)):
            return key
    return None


def _is_refused(key: str, value: object) -> bool:
    if value is None:
        return False
    if _is_code(key, value):
        return True
    values = value if isinstance(value, list) else [value]
    return key not in _NAMES and any(map(_is_place, values))


def _is_place(value: object) -> bool:
    """Return whether a value looks like a path, a URL or owner/repo."""
    return isinstance(value, str) and _PLACE.fullmatch(value) is not None


def _is_code(key: str, value: object) -> bool:
    """Return whether a key asks for code, or is an unknown inner one that could name some."""
    is_inner = key.startswith("_") and key not in _INNER_KEYS
    return key in _CODE_KEYS or (is_inner and not isinstance(value, (int, float)))


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the keys of all objects in a value but the names of classes, with what they hold."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in _LABELS:
                yield key, inner
                yield from _entries(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _entries(inner)


def _depth(document: Any) -> int:
    deepest, pending = 0, [(document, 1)]
    while pending:
        value, depth = pending.pop()
        deepest = max(deepest, depth)
        inner = value.values() if isinstance(value, dict) else value
        if isinstance(value, (dict, list)):
            pending += [(item, depth + 1) for item in inner if isinstance(item, (dict, list))]
    return deepest


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key is there twice")
    return document


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _check(name: str, key: str | None) -> None:
    if key is not None:
        raise PlanError(
            f"{name} of the base model names code or a place to load from",
            code="CONFIG_KEY_REFUSED",
            found=key,
            expected="keys that name nothing outside the folder",
            remedy="take a model that needs no code of its own",
        )


def _unreadable(
    name: str, found: str, expected: str = "one JSON object without repeated keys"
) -> PlanError:
    return _refused(
        f"{name} of the base model cannot be read",
        found=found,
        expected=expected,
        remedy="fetch the model again",
    )


def _refused(message: str, *, found: str, expected: str, remedy: str) -> PlanError:
    return PlanError(message, code="BASE_REFUSED", found=found, expected=expected, remedy=remedy)
