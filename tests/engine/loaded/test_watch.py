"""The log of a run that was resumed."""

from pathlib import Path

from brewslm.engine.train_log import LogLine, TrainLog


def _line(step: int) -> LogLine:
    return LogLine(step, 0.5, 1.0, None, 0.001, 0.5, 10, 2.0, 1, 0.1)


def test_log_of_a_resumed_run_keeps_what_was_done_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "train_log.csv"
    first = TrainLog(path, 0)
    for step in (1, 2, 3):
        first.add(_line(step))
    with path.open("a") as stream:
        stream.write("4,0.5,1")
    again = TrainLog(path, 2)
    again.add(_line(3))
    lines = path.read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "1", "2", "3"]
