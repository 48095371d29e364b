"""Resource addresses: `kind`, `kind.name`, or `kind["odd name"]`."""

import json
import re

from msgspec import Struct

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.\-]+")
_KIND = re.compile(r"[a-z][a-z_]*")


class Address(Struct, frozen=True, order=True):
    """A resource's kind and its name; the name is empty where a project has one of the kind."""

    kind: str
    name: str = ""

    def __str__(self) -> str:
        if not self.name:
            return self.kind
        if _PLAIN_NAME.fullmatch(self.name):
            return f"{self.kind}.{self.name}"
        return f"{self.kind}[{json.dumps(self.name, ensure_ascii=False)}]"

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read the text form back; `str` and `parse` are inverse.

        Raises: ValueError when the text is no address.
        """
        kind_match = _KIND.match(text)
        if kind_match is None:
            raise ValueError(f"not an address: {text!r}")
        kind, rest = kind_match.group(), text[kind_match.end() :]
        if not rest:
            return cls(kind)
        if rest.startswith(".") and _PLAIN_NAME.fullmatch(rest[1:]):
            return cls(kind, rest[1:])
        if rest.startswith("[") and rest.endswith("]"):
            try:
                name = json.loads(rest[1:-1])
            except json.JSONDecodeError as error:
                raise ValueError(f"not an address: {text!r}") from error
            if isinstance(name, str) and name:
                return cls(kind, name)
        raise ValueError(f"not an address: {text!r}")
