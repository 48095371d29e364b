"""Numbers of tokens by a stranger's tokenizer, counted in a limited process."""

from collections.abc import Iterator

import orjson

from brewslm.errors import RefusedError
from brewslm.rows.confined import Confined, EndedError
from brewslm.rows.limits import (
    TOKENIZER_BYTES_PER_CPU_S,
    TOKENIZER_CPU_S,
    TOKENIZER_MEMORY_BYTES,
)

_MODULE = "brewslm.rows.tokenizer_program"
_LIBRARIES = ("tokenizers", "orjson")
_BATCH_CHARACTERS = 1 << 20
"""Of the texts that are sent at once, unless a single one is longer."""
_CPU = f"{TOKENIZER_CPU_S} s and 1 s for each {TOKENIZER_BYTES_PER_CPU_S >> 10} KiB of text"
_MEMORY = f"{TOKENIZER_MEMORY_BYTES >> 30} GiB"


class ConfinedTokenCounter:
    """Counts tokens by a tokenizer file; travels between processes as the file's path."""

    def __init__(self, path: str) -> None:
        """path: of the tokenizer file, which this process never loads."""
        self._path = path
        self._process: Confined | None = None

    def __reduce__(self) -> tuple[type["ConfinedTokenCounter"], tuple[str]]:
        return ConfinedTokenCounter, (self._path,)

    def __call__(self, texts: list[str]) -> list[int]:
        """Return how many tokens each text has.

        Raises: RefusedError with base_refused; ImportError where the package tokenizers is not
        installed.
        """
        process = self._process or self.start()
        counted: list[int] = []
        for batch in _batches(texts):
            counted += self._asked(process, orjson.dumps(batch))
        return counted

    def start(self) -> Confined:
        """Start the process and let it try the file.

        Raises: RefusedError with base_refused; ImportError where the package tokenizers is not
        installed.
        """
        self._process = process = Confined(_MODULE, _LIBRARIES)
        if not all(self._asked(process, orjson.dumps(self._path))):
            self.close()
            raise refused("it has no tokens for plain text")
        return process

    def close(self) -> None:
        """End the process; the next text starts another one."""
        process, self._process = self._process, None
        if process is not None:
            process.close()

    def _asked(self, process: Confined, request: bytes) -> list[int]:
        try:
            return list(process.ask(request))
        except EndedError as error:
            self._process = None
            found = f"it takes more processor time than {_CPU}" if error.is_over_cpu else str(error)
            raise refused(found) from error


def refused(found: str) -> RefusedError:
    """Return the error that names what is wrong with a tokenizer."""
    return RefusedError(
        "the tokenizer of the base model is refused",
        code="base_refused",
        found=found,
        expected=f"a tokenizer file that loads and encodes any text within {_MEMORY} of memory and "
        f"a processor time of {_CPU}",
        remedy="fetch the model again, or take another one",
    )


def _batches(texts: list[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        if batch and characters + len(text) > _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
        batch.append(text)
        characters += len(text)
    if batch:
        yield batch
