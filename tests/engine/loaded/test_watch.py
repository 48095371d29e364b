"""A plateau is a training loss that stays where it is, not one that falls."""

from pathlib import Path

from brewslm.engine.train_log import LogLine, TrainLog
from brewslm.engine.watch import is_plateau


def test_falling_loss_is_no_plateau() -> None:
    losses = [2.0 - step * 0.005 for step in range(300)]
    assert not is_plateau(losses, window=3, patience=2, min_delta=0.001)


def test_loss_that_stays_is_a_plateau_after_patience() -> None:
    falling = [2.0 - step * 0.01 for step in range(100)]
    flat = [1.0] * 100
    assert not is_plateau(falling + flat[:20], window=2, patience=3, min_delta=0.001)
    assert is_plateau(falling + flat, window=2, patience=3, min_delta=0.001)


def test_gain_below_the_smallest_that_counts_is_none() -> None:
    losses = [1.0 - step * 1e-6 for step in range(200)]
    assert is_plateau(losses, window=1, patience=3, min_delta=0.01)


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
