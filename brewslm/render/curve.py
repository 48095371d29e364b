"""The curves of a training run as one picture: losses above, the learning rate below.

Inline SVG without scripts or styles of its own; the classes are those of the page.
"""

import math
from collections.abc import Iterator, Sequence

from brewslm.plan.recorded_run import Point, RecordedRun
from brewslm.render import words
from brewslm.render.markup import Markup, element

_WIDTH, _LEFT, _RIGHT = 720, 64, 16
_LOSS_TOP, _LOSS_BOTTOM = 34, 250
_RATE_TOP, _RATE_BOTTOM = 286, 346
_HEIGHT = 388
_MOST_TICKS = 6
_MOST_POINTS = 1000

Series = Sequence[tuple[int, float]]


def loss_picture(run: RecordedRun) -> Markup:
    """Return the picture of a run, nothing where fewer than two losses were logged."""
    loss = _series(run.points, "loss")
    evaluated = _series(run.points, "eval_loss")
    rate = _series(run.points, "learning_rate")
    if len(loss) + len(evaluated) < 2:
        return Markup()
    steps = [step for step, _ in (*loss, *evaluated, *rate)]
    across = _Scale(min(steps), max(steps), _LEFT, _WIDTH - _RIGHT)
    values = [value for _, value in (*loss, *evaluated)]
    if run.baseline_loss is not None:
        values.append(run.baseline_loss)
    down = _Scale(min(values), max(values), _LOSS_BOTTOM, _LOSS_TOP)
    parts = [
        *_axes(down, _LOSS_TOP, _LOSS_BOTTOM, "loss (nats per token)"),
        *_lines(loss, across, down, "trained"),
        *_lines(evaluated, across, down, "evaluated", has_dots=True),
        *_legend(has_loss=bool(loss), has_evaluation=bool(evaluated), run=run, down=down),
    ]
    if rate:
        low, high = min(value for _, value in rate), max(value for _, value in rate)
        scale = _Scale(min(low, 0.0), high, _RATE_BOTTOM, _RATE_TOP)
        parts += [
            *_axes(scale, _RATE_TOP, _RATE_BOTTOM, "learning rate", most_ticks=2),
            *_lines(rate, across, scale, "rate"),
        ]
    return element(
        "svg",
        element("title", _told(loss, evaluated)),
        *parts,
        *_steps(across, _RATE_BOTTOM if rate else _LOSS_BOTTOM),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT if rate else _LOSS_BOTTOM + 42}",
        role="img",
        class_="chart",
    )


class _Scale:
    """Values to places on the picture."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        """start, end: places of the lowest and the highest value."""
        if high - low < 1e-12:
            low, high = low - (abs(low) or 1.0) * 0.05, high + (abs(high) or 1.0) * 0.05
        self.low, self.high = low, high
        self._start, self._length = start, end - start

    def at(self, value: float) -> str:
        share = (value - self.low) / (self.high - self.low)
        return f"{self._start + share * self._length:.1f}"

    def ticks(self, most: int, *, is_whole: bool = False) -> list[float]:
        """Return round values between the ends, at most so many."""
        step = _round_step((self.high - self.low) / most)
        step = max(step, 1.0) if is_whole else step
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is at least this much."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * 0.999999)


def _series(points: Sequence[Point], name: str) -> Series:
    """Return the finite values of a column; of very many each so many-th and the last."""
    found = [
        (item.step, value)
        for item in points
        if (value := getattr(item, name)) is not None and math.isfinite(value)
    ]
    stride = -(-len(found) // _MOST_POINTS) or 1
    return found if stride == 1 else [*found[::stride], found[-1]]


def _axes(
    down: _Scale, top: int, bottom: int, name: str, most_ticks: int = _MOST_TICKS
) -> Iterator[Markup]:
    right = str(_WIDTH - _RIGHT)
    yield element("text", name, x=str(_LEFT), y=str(top - 8), class_="label")
    for value in down.ticks(most_ticks):
        y = down.at(value)
        yield element("line", x1=str(_LEFT), x2=right, y1=y, y2=y, class_="grid")
        yield element(
            "text", f"{value:.4g}", x=str(_LEFT - 6), y=y, dy="0.32em", class_="label end"
        )
    yield element("line", x1=str(_LEFT), x2=str(_LEFT), y1=str(top), y2=str(bottom), class_="axis")
    yield element("line", x1=str(_LEFT), x2=right, y1=str(bottom), y2=str(bottom), class_="axis")


def _steps(across: _Scale, bottom: int) -> Iterator[Markup]:
    for value in across.ticks(_MOST_TICKS, is_whole=True):
        x = across.at(value)
        yield element("line", x1=x, x2=x, y1=str(bottom), y2=str(bottom + 4), class_="axis")
        yield element(
            "text", words.count(round(value)), x=x, y=str(bottom + 18), class_="label middle"
        )
    middle = str((_LEFT + _WIDTH - _RIGHT) // 2)
    yield element("text", "step", x=middle, y=str(bottom + 36), class_="label middle")


def _lines(
    values: Series, across: _Scale, down: _Scale, name: str, *, has_dots: bool = False
) -> Iterator[Markup]:
    places = [(across.at(step), down.at(value)) for step, value in values]
    if len(places) > 1:
        yield element("polyline", points=" ".join(map(",".join, places)), class_=f"curve {name}")
    if has_dots or len(places) == 1:
        for x, y in places:
            yield element("circle", cx=x, cy=y, r="3", class_=f"dot {name}")


def _legend(
    *, has_loss: bool, has_evaluation: bool, run: RecordedRun, down: _Scale
) -> Iterator[Markup]:
    """Name the curves; the base model's loss on the validation rows is a dashed line."""
    entries = []
    if has_loss:
        entries.append(("trained", "training rows"))
    if has_evaluation:
        entries.append(("evaluated", "validation rows"))
    if run.baseline_loss is not None:
        y = down.at(run.baseline_loss)
        right = str(_WIDTH - _RIGHT)
        yield element("line", x1=str(_LEFT), x2=right, y1=y, y2=y, class_="curve baseline")
        entries.append(("baseline", "base model"))
    x = 230
    for name, label in entries:
        yield element("line", x1=str(x), x2=str(x + 24), y1="22", y2="22", class_=f"curve {name}")
        yield element("text", label, x=str(x + 30), y="22", dy="0.32em", class_="label")
        x += 46 + 7 * len(label)


def _told(loss: Series, evaluated: Series) -> str:
    """Return the picture in words."""
    parts = [
        f"{name} from {own[0][1]:.4g} at step {own[0][0]} to {own[-1][1]:.4g} at step {own[-1][0]}"
        for name, own in (("training loss", loss), ("validation loss", evaluated))
        if own
    ]
    return "; ".join(parts)
