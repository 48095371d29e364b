"""What the corpus is made of: plain texts and conversations."""

from dataclasses import dataclass
from typing import TypeAlias

Turn: TypeAlias = tuple[str, str]
"""What the user says and what the assistant answers."""


@dataclass(frozen=True)
class Document:
    """Either a plain text, or a conversation with an optional system message."""

    text: str = ""
    system: str = ""
    turns: tuple[Turn, ...] = ()

    def messages(self) -> list[dict[str, str]]:
        """The conversation as chat templates take it; empty for a plain text."""
        messages = [{"role": "system", "content": self.system}] if self.system else []
        for question, answer in self.turns:
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": answer})
        return messages


def conversation(*turns: Turn, system: str = "") -> Document:
    """A conversation of these turns."""
    return Document(system=system, turns=turns)
