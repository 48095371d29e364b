"""Every name of an accelerator library that the engine writes exists in the installed library.

Torch and its relatives are not type-checked, and some branches need a device that no test machine
has. So each name is looked up: what is imported, the attribute chains on it, the keywords of calls,
and the methods that only the library can call.
"""

import ast
import functools
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import brewslm

ENGINE = Path(brewslm.__path__[0]) / "engine"
LIBRARIES = frozenset(
    [
        "torch",
        "transformers",
        "peft",
        "trl",
        "datasets",
        "bitsandbytes",
        "accelerate",
        "safetensors",
        "numpy",
    ]
)

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def _sources() -> dict[str, str]:
    files = sorted(ENGINE.rglob("*.py"))
    return {path.relative_to(ENGINE).as_posix(): path.read_text("utf-8") for path in files}


class _Names(ast.NodeVisitor):
    """Collects what one file writes of the libraries."""

    def __init__(self, text: str) -> None:
        self.known: dict[str, Any] = {}
        self.wrong: dict[str, None] = {}
        self.looked_up: set[str] = set()
        self.methods: list[tuple[str, type]] = []
        tree = ast.parse(text)
        for node in ast.walk(tree):
            self._import(node)
        self.visit(tree)

    def _import(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for item in node.names:
                root = item.name.partition(".")[0]
                if root in LIBRARIES:
                    module = importlib.import_module(item.name)
                    self.known[item.asname or root] = (
                        module if item.asname else importlib.import_module(root)
                    )
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module.partition(".")[0] in LIBRARIES:
                module = importlib.import_module(node.module)
                for item in node.names:
                    self._look_up(module, item.name, node.module, item.asname or item.name)

    def _look_up(self, owner: Any, name: str, written: str, into: str = "") -> Any:
        full = f"{written}.{name}"
        self.looked_up.add(full)
        if not hasattr(owner, name):
            self.wrong[full] = None
            return None
        found = getattr(owner, name)
        if into:
            self.known[into] = found
        return found

    def _value(self, node: ast.expr) -> tuple[Any, str]:
        """Return what a name or a chain means, None where that is no library's business."""
        if isinstance(node, ast.Name):
            return self.known.get(node.id), node.id
        if isinstance(node, ast.Attribute):
            owner, written = self._value(node.value)
            if isinstance(owner, ModuleType | type):
                return self._look_up(owner, node.attr, written), f"{written}.{node.attr}"
        return None, ""

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._value(node)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called, written = self._value(node.func)
        names = [item.arg for item in node.keywords if item.arg is not None]
        if called is not None and names:
            taken = _keywords(called)
            if taken is not None:
                self.looked_up |= {f"{written}({name}=)" for name in names}
                self.wrong |= {f"{written}({name}=)": None for name in names if name not in taken}
        self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        bases = [self._value(base)[0] for base in node.bases]
        held = tuple(base for base in bases if isinstance(base, type))
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and not item.decorator_list:
                if not item.name.startswith("__"):
                    self.methods += [(item.name, base) for base in held]
        self.generic_visit(node)


def _keywords(called: Any) -> frozenset[str] | None:
    """Return the keywords that a call takes, None where nothing is known of them.

    A function that passes keywords on takes those that the library names where it handles them; a
    builtin without a signature takes those of its documentation.
    """
    try:
        parameters = inspect.signature(called).parameters.values()
    except (TypeError, ValueError):
        return _words(called.__doc__ or "") or None
    named = frozenset(item.name for item in parameters)
    if not any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters):
        return named
    return named | _words(inspect.getsource(inspect.getmodule(called))) | _loading_words()


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text))


_PASSED_TO = ("transformers.modeling_utils", "transformers.tokenization_utils_base")
"""Where models and tokenizers hand their keywords on to."""


@functools.cache
def _loading_words() -> frozenset[str]:
    sources = (inspect.getsource(importlib.import_module(name)) for name in _PASSED_TO)
    return frozenset().union(*map(_words, sources))


def _overrides(sources: dict[str, str]) -> Iterator[tuple[str, str, type]]:
    """Yield file, method and base of the methods that no code of the engine calls."""
    called = {
        node.func.attr
        for text in sources.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and not isinstance(node.func.value, ast.Call)
    }
    for file, text in sources.items():
        for name, base in _Names(text).methods:
            if name not in called and base.__name__ != "Protocol":
                yield file, name, base


def test_every_name_of_a_library_exists() -> None:
    found = {file: _Names(text) for file, text in _sources().items()}
    assert {file: names.wrong for file, names in found.items() if names.wrong} == {}
    looked_up = set().union(*(names.looked_up for names in found.values()))
    for name in ("torch.cuda.get_device_name", "transformers.TrainerCallback", "SFTConfig(fp16=)"):
        assert name in looked_up
    assert len(looked_up) > 100


def test_methods_that_only_the_library_calls_are_the_library_s_own() -> None:
    found = list(_overrides(_sources()))
    wrong = [(file, name) for file, name, base in found if not hasattr(base, name)]
    assert wrong == []
    assert {"on_step_end", "compute_loss", "_get_train_sampler"} <= {name for _, name, _ in found}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("import torch\ntorch.cuda.getdevice_name(0)", "torch.cuda.getdevice_name"),
        ("import torch\ntorch.cuda.get_device_propertys(0).total_memory", "get_device_propertys"),
        ("import torch.utils.data as d\nd.Samplr", "d.Samplr"),
        ("from torch import mps as m\nm.empty_cach()", "m.empty_cach"),
        ("from transformers import TrainerCalback", "transformers.TrainerCalback"),
        ("from peft import PeftModel\nPeftModel.from_pretraned('x')", "PeftModel.from_pretraned"),
        ("from trl import SFTConfig as C\nC(output_dir='x', fp_16=True)", "C(fp_16=)"),
        ("from datasets import Dataset\nDataset.from_dikt({})", "Dataset.from_dikt"),
        ("import torch\ntorch.backends.mps.is_macos_or_newr(14, 0)", "mps.is_macos_or_newr"),
        ("import torch\ntorch.version.hipp", "torch.version.hipp"),
        ("import torch\ntorch.softmax(x, dimm=-1)", "torch.softmax(dimm=)"),
        (
            "from transformers import AutoModelForCausalLM as M\nM.from_pretrained('x', dtipe=1)",
            "M.from_pretrained(dtipe=)",
        ),
        (
            "from transformers import BitsAndBytesConfig as B\nB(bnb_4bit_compute_dtipe=1)",
            "B(bnb_4bit_compute_dtipe=)",
        ),
    ],
)
def test_a_misspelt_name_is_found(text: str, wrong: str) -> None:
    (found,) = _Names(text).wrong
    assert wrong in found
