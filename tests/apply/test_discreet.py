"""Nothing that comes back from a worker holds the value of a secret."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brewslm.apply.discreet import DiscreetWorker, redacting
from brewslm.apply.interruption import Stop
from brewslm.apply.scripted import ScriptedWorker
from brewslm.apply.worker import Message
from brewslm.contracts import Job, Result
from brewslm.errors import WorkerError
from brewslm.events import ActionLogEvent, Event
from brewslm.redactor import Redactor

_SECRET = "k7Qzx9Lm2Wp4Rt"  # noqa: S105  of this test
_REDACTOR = Redactor({"TOKEN": [_SECRET]})


def _run(
    tmp_path: Path, answer: Callable[[Job, Path], Result], messages: list[Message] | None = None
) -> tuple[Result, list[Message]]:
    """Return what a worker's result and messages became."""
    heard: list[Message] = []
    worker = DiscreetWorker(ScriptedWorker(answer, messages={0: messages or []}), _REDACTOR)
    job = Job(job_id="1", door="x:run", address="training_plan", spec={}, folder=str(tmp_path))
    return worker.run(job, heard.append, Stop()), heard[:-1]


def test_values_of_a_result_are_redacted_at_any_depth_and_outputs_stay(tmp_path: Path) -> None:
    values = {"loss": 0.5, "note": [f"by {_SECRET}", {"deep": (_SECRET, None, True)}]}
    result = Result(outputs={"run": "run"}, values=values, work_s=2.0)
    clean, _ = _run(tmp_path, lambda *_: result)
    assert clean.values == {
        "loss": 0.5,
        "note": ["by [secret://TOKEN]", {"deep": ["[secret://TOKEN]", None, True]}],
    }
    assert (clean.outputs, clean.work_s) == (result.outputs, 2.0)


@pytest.mark.parametrize(
    "result",
    [
        Result(values={_SECRET: 1}),
        Result(values={"metrics": [{"by": {f"of {_SECRET}": 1}}]}),
        Result(outputs={_SECRET: "run"}),
        Result(outputs={"run": f"run/{_SECRET}"}),
    ],
)
def test_a_result_with_a_secret_in_a_name_is_refused(tmp_path: Path, result: Result) -> None:
    with pytest.raises(WorkerError) as caught:
        _run(tmp_path, lambda *_: result)
    assert caught.value.code == "worker_protocol_error"


def test_every_part_of_an_error_is_redacted(tmp_path: Path) -> None:
    def fail(*_: Any) -> Result:
        words = [f"{part} {_SECRET}" for part in ("message", "found", "expected", "remedy")]
        raise WorkerError(
            words[0], code="worker_killed", found=words[1], expected=words[2], remedy=words[3]
        )

    with pytest.raises(WorkerError) as caught:
        _run(tmp_path, fail)
    error = caught.value
    assert error.code == "worker_killed"
    assert [error.message, error.found, error.expected, error.remedy] == [
        f"{part} [secret://TOKEN]" for part in ("message", "found", "expected", "remedy")
    ]
    assert error.__cause__ is None


def test_messages_are_redacted_alone_and_one_after_the_other(tmp_path: Path) -> None:
    sent: list[Message] = [
        {"type": "warning", "text": "plain", "facts": {"a": [_SECRET]}},
        {"type": "log", "text": f"token {_SECRET[:8]}"},
        {"type": "progress", "done": 1},
        {"type": "log", "text": f"{_SECRET[8:]} was refused"},
    ]
    _, heard = _run(tmp_path, lambda *_: Result(), sent)
    assert heard[0] == {"type": "warning", "text": "plain", "facts": {"a": ["[secret://TOKEN]"]}}
    assert heard[2] == sent[2]
    shown = f"{heard[1]['text']}{heard[3]['text']}"
    assert _SECRET[:8] not in shown
    assert _SECRET[8:] not in shown
    assert shown.startswith("token ")
    assert shown.endswith(" was refused")


def test_events_are_redacted_and_those_without_a_secret_are_passed_on() -> None:
    heard: list[Event] = []
    tell = redacting(heard.append, _REDACTOR)
    plain = ActionLogEvent(address="training_plan", text="nothing to hide", stream="stdout")
    tell(plain)
    tell(plain.model_copy(update={"text": f"by {_SECRET}"}))
    assert heard[0] is plain
    assert heard[1] == plain.model_copy(update={"text": "by [secret://TOKEN]"})
