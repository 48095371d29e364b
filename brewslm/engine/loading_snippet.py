"""The Python that a model card prints: it loads an export and answers a message, as it stands, when
it is run in the project folder.
"""

import json
from collections.abc import Mapping

_ANSWER = """
messages = [{"role": "user", "content": "Hello!"}]
inputs = tokenizer.apply_chat_template(
    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
)
answer = model.generate(**inputs, max_new_tokens=64)
print(tokenizer.decode(answer[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))"""
_BUILTIN = "builtin:"


def adapter_snippet(base: Mapping[str, str | None], folder: str) -> str:
    """Return how to load an adapter on its base.

    base: `name` as the manifest says it, and `revision` where it has a commit; folder: where the
    export is, seen from the project folder.
    """
    name = str(base.get("name") or "")
    first, model = "", _literal(name)
    if name.startswith(_BUILTIN):
        first = "from importlib.resources import files\n\n"
        model = f'str(files("brewslm") / "builtin" / {_literal(name.removeprefix(_BUILTIN))})'
    elif base.get("revision"):
        model += f", revision={_literal(str(base['revision']))}"
    return f"""{first}from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = {_literal(folder)}  # of this file, seen from the project folder
base = AutoModelForCausalLM.from_pretrained({model})
model = PeftModel.from_pretrained(base, folder)
tokenizer = AutoTokenizer.from_pretrained(folder)
{_ANSWER}"""


def merged_snippet(folder: str) -> str:
    """Return how to load a whole model.

    folder: where the export is, seen from the project folder.
    """
    return f"""from transformers import AutoModelForCausalLM, AutoTokenizer

folder = {_literal(folder)}  # of this file, seen from the project folder
model = AutoModelForCausalLM.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)
{_ANSWER}"""


def _literal(text: str) -> str:
    """Return a text as a Python literal in double quotes."""
    return json.dumps(text, ensure_ascii=False)
