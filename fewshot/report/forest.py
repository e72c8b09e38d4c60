"""Points with intervals, a row each: accuracies, or differences with a line at zero."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewshot.figures.accuracy import COLOURS
from fewshot.figures.pictures import blank, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, FRAME, WIDTH = 0.27, 0.75, 8.6  # inches
MARK = 0.01  # width of a mark, in widths of the axis


@dataclass(frozen=True)
class Bar:
    """One row; fractions.

    Attributes:
        label: What stands at the left.
        value: The mean, or the difference.
        low: Lower end of its interval.
        high: Upper end.
        wide: Ends of a second interval, of another estimand.
        transductive: Drawn as a triangle: answers may depend on the other queries.
    """

    label: str
    value: float
    low: float
    high: float
    wide: tuple[float, float] | None = None
    transductive: bool = False


def forest(bars: Sequence[Bar], xlabel: str, line: float | None = None) -> "Figure":
    """Draw rows, the highest value on top.

    Args:
        bars: At least one.
        xlabel: What the axis counts, in per cent or percentage points.
        line: Where a level line stands, a fraction: zero for differences, the reference for accuracies.
    """
    ordered = sorted(bars, key=lambda bar: bar.value)
    figure: Figure = blank(WIDTH, ROW * len(bars) + FRAME)
    axes = figure.subplots()
    for y, bar in enumerate(ordered):
        _draw(axes, y, bar)
    if line is not None:
        axes.axvline(100 * line, color="#999999", linewidth=1, zorder=1)
    axes.set_yticks(range(len(ordered)), [short(bar.label, 36) for bar in ordered], fontsize=9)
    axes.set(xlabel=xlabel, ylim=(-0.6, len(ordered) - 0.4))
    axes.tick_params(length=0)
    axes.grid(axis="x", color="#ededed", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def _draw(axes: "Axes", y: int, bar: Bar) -> None:
    colour, marker = (COLOURS[1], "^") if bar.transductive else (COLOURS[0], "o")
    if bar.wide is not None:
        axes.plot([100 * end for end in bar.wide], [y, y], color=colour, linewidth=0.9, solid_capstyle="butt")
    axes.plot([100 * bar.low, 100 * bar.high], [y, y], color=colour, linewidth=3.5, solid_capstyle="butt")
    axes.plot(100 * bar.value, y, marker, color=colour, markersize=4.5)


def hidden_bars(bars: Sequence[Bar]) -> str:
    """A sentence where some interval is narrower than its mark; nothing else."""
    every = [end for bar in bars for end in (bar.low, bar.high, *(bar.wide or ()))]
    span = max(every) - min(every)
    narrow = len(bars) > 1 and any(bar.high - bar.low < MARK * span for bar in bars)
    return " Where no bar is seen, it is narrower than the mark." if narrow else ""


def describe(bars: Sequence[Bar], what: str) -> str:
    """The figure in words, for those who do not see it: how many rows, the highest and the lowest."""
    best, worst = max(bars, key=lambda b: b.value), min(bars, key=lambda b: b.value)
    told = [f"{b.label} {100 * b.value:.2f}, interval {100 * b.low:.2f} to {100 * b.high:.2f}" for b in (best, worst)]
    rest = f"; lowest {told[1]}" if len(bars) > 1 else ""
    return f"{what} of {len(bars)} method{'s' * (len(bars) > 1)}. Highest {told[0]}{rest}. The table has the numbers."
