"""What a plan knows about a base model without loading it: its files, config, modules and
parameters.

Everything is read from `config.json` and the safetensors header, which is 8 bytes of length and
then JSON.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, convert
from msgspec.structs import asdict, fields

from brewslm.contracts import Output
from brewslm.errors import PlanError
from brewslm.files import LFS_POINTER, MAX_LFS_POINTER_BYTES, is_folder
from brewslm.fingerprint import digest_value
from brewslm.plan.architectures import check_architecture, sizes_of
from brewslm.plan.base_tensors import check_tensors, check_types
from brewslm.plan.digest_cache import DigestCache
from brewslm.plan.hub_cache import commit_of, find_snapshot
from brewslm.plan.model_files import (
    BUILTIN,
    CONFIG,
    ONE_FILE,
    check_keys,
    check_quantization,
    names_of_files,
    read_document,
    unread_names,
    weight_files,
)
from brewslm.plan.safetensors import DTYPE_BYTES, INDEX, read_weights
from brewslm.plan.tokenizer_facts import TokenizerFacts, read_tokenizer

__all__ = ["BUILTIN", "BaseModel", "locate", "lora_parameters", "read_base_model", "target_names"]

_EMBEDDINGS = ("wte", "wpe")
"""Names of embeddings that do not say so."""


class BaseModel(Struct, frozen=True):
    """A base model's files and shape."""

    folder: Path | None
    """None where it is known from the record alone."""
    digest: str
    """Of `{file name: digest}` over config, tokenizer, template and weights."""
    size_bytes: int
    files: Mapping[str, str]
    parameters: int
    weight_bytes: int
    dtype: str
    hidden_size: int
    layers: int
    intermediate_size: int
    vocab_size: int
    context_tokens: int
    modules: Mapping[str, tuple[int, int]]
    """Linear module name (last part) and its largest (out, in)."""
    module_count: Mapping[str, int]
    template_digest: str | None
    commit: str | None = None
    """Of a model in the Hub's cache."""
    quantization: str = ""
    """How the weights in its files are quantised, as a recipe names it; empty where they are not.
    """
    tokenizer: TokenizerFacts | None = None
    """None where its files do not tell, or where it was recorded before they were asked."""
    unread: tuple[str, ...] = ()
    """Names of what lies beside the files and is never loaded; not recorded."""

    @classmethod
    def recorded(
        cls, folder: Path | None, output: Output, values: Mapping[str, Any]
    ) -> "BaseModel":
        """Return the model that `values` were recorded of; no file is opened."""
        known = {item.name for item in fields(cls)} & values.keys()
        tokenizer = values.get("tokenizer")
        return cls(
            **{name: values[name] for name in known - {"modules", "tokenizer"}},
            tokenizer=convert(tokenizer, TokenizerFacts) if tokenizer else None,
            folder=folder,
            digest=output.digest,
            size_bytes=output.size_bytes,
            modules={name: (shape[0], shape[1]) for name, shape in values["modules"].items()},
        )

    def outputs(self) -> dict[str, Output]:
        """Return the model's files as an output."""
        return {"base": Output(self.digest, self.size_bytes)}

    def values(self) -> dict[str, Any]:
        """Return what is recorded about the model."""
        return {
            "parameters": self.parameters,
            "weight_bytes": self.weight_bytes,
            "dtype": self.dtype,
            "hidden_size": self.hidden_size,
            "layers": self.layers,
            "intermediate_size": self.intermediate_size,
            "vocab_size": self.vocab_size,
            "context_tokens": self.context_tokens,
            "modules": {name: list(shape) for name, shape in sorted(self.modules.items())},
            "module_count": dict(sorted(self.module_count.items())),
            "template_digest": self.template_digest,
            **({"commit": self.commit} if self.commit else {}),
            **({"quantization": self.quantization} if self.quantization else {}),
            **({"tokenizer": asdict(self.tokenizer)} if self.tokenizer else {}),
            "files": dict(sorted(self.files.items())),
        }


def locate(
    base_model: str, revision: str | None, root: Path, environment: Mapping[str, str]
) -> Path | None:
    """Return the folder of a base model, None for a Hub model that is not in the local cache.

    Raises: PlanError with BASE_MODEL_FORM for a folder that is not there, PATH_OUTSIDE_PROJECT for
    one that is not inside the project.
    """
    if base_model.startswith("builtin:"):
        return BUILTIN / base_model.removeprefix("builtin:")
    if base_model.startswith("./"):
        folder = root / base_model
        if not is_folder(folder):
            raise PlanError(
                f'there is no model folder "{base_model}"',
                code="BASE_MODEL_FORM",
                found=base_model,
                expected="a folder inside the project",
                remedy="put the model's files there, or write builtin:nano",
            )
        target = folder.resolve()
        if not target.is_relative_to(root.resolve()):
            leads = "leads" if ".." in base_model else "is a link that leads"
            raise PlanError(
                f'"{base_model}" {leads} out of the project folder',
                code="PATH_OUTSIDE_PROJECT",
                found=str(target),
                expected="a folder inside the project",
                remedy="copy the model's files into a folder of the project, and name that",
            )
        return folder
    return find_snapshot(base_model, revision, environment)


def read_base_model(
    folder: Path,
    key: str,
    digests: DigestCache,
    root: Path,
    recorded: BaseModel | None = None,
) -> BaseModel:
    """Return a base model's facts.

    key: prefix of the digest cache's keys; root: the project folder; recorded: what is recorded of
    it, so that the vocabulary of a model with the same files is not read again.

    Raises: PlanError with code MODEL_NOT_SAFETENSORS, MODEL_QUANTIZED, MODEL_NEEDS_CODE,
    MODEL_ARCHITECTURE_UNFIT, BASE_REFUSED, BASE_WEIGHTS_MISSING, CONFIG_KEY_REFUSED or
    PATH_OUTSIDE_PROJECT.
    """
    weights = weight_files(folder)
    if not weights or not (folder / CONFIG).is_file():
        raise PlanError(
            "the base model has no config.json and safetensors weights",
            code="MODEL_NOT_SAFETENSORS",
            found=", ".join(sorted(path.name for path in folder.iterdir())[:8]),
            expected="config.json, tokenizer files and *.safetensors",
            remedy="take a revision with safetensors weights",
        )
    if weights != [folder / ONE_FILE] and not (folder / INDEX).is_file():
        raise _unnamed([path.name for path in weights])
    names = names_of_files(folder, root)
    files: dict[str, str] = {}
    size_bytes = 0
    for name in names:
        files[name], file_bytes = digests.digest(f"{key}/{name}", folder / name)
        size_bytes += file_bytes
    _check_fetched(folder, names)
    check_keys(folder)
    config = read_document(folder / CONFIG)
    check_architecture(config)
    sizes = sizes_of(config)
    quantization = check_quantization(config)
    tensors = read_weights(folder, weights)
    if not quantization:
        check_types(tensors)
        check_tensors(config, tensors)
    modules, counts = _linear_modules(tensors)
    digest = digest_value(files)
    is_recorded = recorded is not None and recorded.digest == digest
    tokenizer = recorded.tokenizer if recorded is not None and is_recorded else None
    return BaseModel(
        folder=folder,
        digest=digest,
        size_bytes=size_bytes,
        files=files,
        parameters=sum(math.prod(shape) for _, shape in tensors.values()),
        weight_bytes=sum(
            math.prod(shape) * DTYPE_BYTES[dtype] for dtype, shape in tensors.values()
        ),
        dtype=next((dtype for dtype, _ in tensors.values()), "F32"),
        hidden_size=sizes["hidden_size"],
        layers=sizes["num_hidden_layers"],
        intermediate_size=sizes["intermediate_size"],
        vocab_size=sizes["vocab_size"],
        context_tokens=sizes["max_position_embeddings"],
        modules=modules,
        module_count=counts,
        template_digest=files.get("chat_template.jinja") or files.get("tokenizer_config.json"),
        commit=commit_of(folder),
        quantization=quantization,
        tokenizer=tokenizer or read_tokenizer(folder),
        unread=unread_names(folder, names),
    )


def _unnamed(weights: list[str]) -> PlanError:
    """Return the refusal of weights that no library finds."""
    return PlanError(
        "the weights of the base model are under names that no library loads",
        code="MODEL_NOT_SAFETENSORS",
        found=", ".join(weights[:8]),
        expected=f"{ONE_FILE}, or {INDEX} beside the files that it names",
        remedy=f"rename {weights[0]} to {ONE_FILE}"
        if len(weights) == 1
        else f"fetch {INDEX} as well",
    )


def _check_fetched(folder: Path, names: list[str]) -> None:
    """Refuse what Git LFS puts in place of files. Raises: PlanError."""
    for name in names:
        if (folder / name).stat().st_size > MAX_LFS_POINTER_BYTES:
            continue
        with (folder / name).open("rb") as stream:
            if stream.read(len(LFS_POINTER)) == LFS_POINTER:
                raise PlanError(
                    f"{name} of the base model is a pointer of Git LFS",
                    code="SOURCE_NOT_FETCHED",
                    found="a Git LFS pointer",
                    expected="the file that it stands for",
                    remedy="git lfs pull, where the model's repository was cloned",
                )


def target_names(target: object, model: BaseModel) -> tuple[str, ...]:
    """Return the linear modules that a `target_modules` value means in this model."""
    attention = ("q_proj", "k_proj", "v_proj", "o_proj")
    mlp = ("gate_proj", "up_proj", "down_proj")
    all_linear = tuple(sorted(name for name in model.modules if name not in ("lm_head",)))
    if target == "attn":
        return tuple(name for name in attention if name in model.modules)
    if target == "attn_mlp":
        return tuple(name for name in attention + mlp if name in model.modules)
    if target == "auto":
        named = tuple(name for name in attention + mlp if name in model.modules)
        return named or all_linear
    if target == "all-linear":
        return all_linear
    if isinstance(target, (list, tuple)):
        return tuple(name for name in target if name in model.modules)
    return ()


def lora_parameters(names: tuple[str, ...], rank: int, model: BaseModel) -> int:
    """Return the trained parameters: r · (in + out) for each targeted module."""
    return sum(rank * sum(model.modules[name]) * model.module_count[name] for name in names)


def _linear_modules(
    tensors: Mapping[str, tuple[str, list[int]]],
) -> tuple[dict[str, tuple[int, int]], dict[str, int]]:
    modules: dict[str, tuple[int, int]] = {}
    counts: dict[str, int] = {}
    for name, (_, shape) in sorted(tensors.items()):
        if len(shape) == 2 and name.endswith(".weight") and "embed" not in name:
            short = name.removesuffix(".weight").rpartition(".")[2]
            if short in _EMBEDDINGS:
                continue
            modules[short] = max(modules.get(short, (0, 0)), (shape[0], shape[1]))
            counts[short] = counts.get(short, 0) + 1
    return modules, counts
