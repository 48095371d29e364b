"""The chat templates that a recipe can name, each with the special tokens that it writes.

A base model can be trained with one only where its tokenizer has those as tokens of their own:
otherwise what ends an answer is spelled out in pieces, and no answer ever ends.
"""

from typing import Final

TEMPLATE_TOKENS: Final[dict[str, tuple[str, ...]]] = {
    "llama3": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "chatml": ("<|im_start|>", "<|im_end|>"),
    "phi3": ("<|user|>", "<|assistant|>", "<|end|>"),
    "zephyr": (),
}
"""Template to its tokens; one without any ends an answer with the tokenizer's own end token. In the
order in which they are tried for a base model that has no template.
"""
