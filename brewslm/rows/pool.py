"""Work on ordered chunks by several processes; results come in the order of the chunks.

Workers are started afresh and hold nothing but their end of a pipe: one whose parent is gone reads
the end of it and leaves, even where the parent was killed. An interrupt is the parent's business.
"""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from msgspec import msgpack

from brewslm.errors import WorkerError

_MOST_WORKERS = 8
_ENDING_S = 5.0
"""How long a process may take to end once its pipe is broken."""

A = TypeVar("A")
R = TypeVar("R", covariant=True)


class ChunkWork(Protocol[A, R]):
    """What is done to chunks: a value that can be pickled, opened once in each process."""

    @property
    def argument(self) -> type[A]:
        """What a chunk is read as."""
        ...

    @property
    def result(self) -> type[R]:
        """What an answer is read as."""
        ...

    def open(self) -> Callable[[A], R]:
        """Return the function of one chunk."""
        ...


class WorkerLostError(WorkerError):
    """A worker process ended before its work."""

    def __init__(self, exit_code: int | None) -> None:
        """exit_code: as multiprocessing gives it, a signal as its negative number."""
        is_killed = exit_code == -signal.SIGKILL
        super().__init__(
            "a process that prepared rows ended before its work"
            + ("; the system may have run out of memory" if is_killed else ""),
            code="worker_killed",
            found=_ending(exit_code),
            expected="an answer for every part of the rows",
            remedy="free memory or set a limit on the data source, then run the command again"
            if is_killed
            else "run the command again",
        )


def _ending(exit_code: int | None) -> str:
    if exit_code is None:
        return "no answer, although it still runs"
    return signal.Signals(-exit_code).name if exit_code < 0 else f"exit status {exit_code}"


def worker_count() -> int:
    """Return how many processes are worth starting: one for each core that may be used."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, _MOST_WORKERS)


def each(work: ChunkWork[A, R], chunks: Iterable[A], workers: int) -> Iterator[R]:
    """Yield the result of every chunk, in order; below two workers in this very process."""
    if workers < 2:
        yield from map(work.open(), chunks)
        return
    with _Pool(work, workers) as pool:
        yield from pool.results(chunks)


class _Pool(Generic[A, R]):
    """Workers that take chunks in turn."""

    def __init__(self, work: ChunkWork[A, R], workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._decoder = msgpack.Decoder(work.result)
        self._connections: list[Connection[Any, Any]] = []
        self._processes: dict[Connection[Any, Any], BaseProcess] = {}
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(work, theirs), daemon=True)
            process.start()
            theirs.close()
            self._connections.append(ours)
            self._processes[ours] = process

    def __enter__(self) -> "_Pool[A, R]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for connection in self._connections:
            connection.close()
        for process in self._processes.values():
            if kind is not None:
                process.terminate()
            process.join()

    def results(self, chunks: Iterable[A]) -> Iterator[R]:
        """Yield results in order; every worker has one chunk at a time."""
        encode = msgpack.Encoder().encode
        idle = deque(self._connections)
        busy: deque[Connection[Any, Any]] = deque()
        for chunk in chunks:
            data = encode(chunk)
            answer = None
            if not idle:
                connection = busy.popleft()
                answer = self._received(connection)
                idle.append(connection)
            connection = idle.popleft()
            self._send(connection, data)
            busy.append(connection)
            if answer is not None:
                yield self._decoder.decode(answer)
        while busy:
            yield self._decoder.decode(self._received(busy.popleft()))

    def _send(self, connection: "Connection[Any, Any]", data: bytes) -> None:
        try:
            connection.send_bytes(data)
        except OSError as error:
            raise self._lost(connection) from error

    def _received(self, connection: "Connection[Any, Any]") -> bytes:
        try:
            answer = connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._lost(connection) from error
        if not answer:
            raise connection.recv()
        return answer

    def _lost(self, connection: "Connection[Any, Any]") -> WorkerLostError:
        """Return how the worker behind a pipe that broke ended."""
        process = self._processes[connection]
        process.join(_ENDING_S)
        return WorkerLostError(process.exitcode)


def _serve(work: ChunkWork[A, R], connection: "Connection[Any, Any]") -> None:
    """Answer chunks until the other end of the pipe is closed; an error is sent after a mark."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run = work.open()
    encode, decode = msgpack.Encoder().encode, msgpack.Decoder(work.argument).decode
    try:
        while True:
            chunk = decode(connection.recv_bytes())
            try:
                answer = encode(run(chunk))
            except Exception as error:  # noqa: BLE001  raised again by the parent
                connection.send_bytes(b"")
                connection.send(error)
            else:
                connection.send_bytes(answer)
    except (EOFError, OSError):
        return
