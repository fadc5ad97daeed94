"""A chart of stacked bars as inline SVG: colours come from the page, so that it is drawn light and dark."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

WIDTH, HEIGHT = 960, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 8, 12, 28

LABELS_MOST = 10
"""Labels below the bars that fit beside each other."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One name's part of every bar."""

    name: str
    values: Sequence[int]
    style: str
    """A class of the page that gives the colour."""


def stacked_bars(title: str, labels: Sequence[str], layers: Sequence[Layer], tell: "Teller") -> str:
    """The chart; ``tell`` writes an amount for people. The first layer lies at the bottom. Nothing is drawn of nothing."""
    heights = [sum(layer.values[n] for layer in layers) for n in range(len(labels))]
    top, step = _scale(max(heights, default=0))
    inner, slot = HEIGHT - TOP - BOTTOM, (WIDTH - LEFT - RIGHT) / max(1, len(labels))
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
    ]
    for tick in range(0, top + 1, step):
        y = TOP + inner * (1 - tick / top)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="axis" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(tell.short(tick))}</text>'
        )
    every = -(-len(labels) // LABELS_MOST) if labels else 1
    for n, label in enumerate(labels):
        x = LEFT + slot * n
        width = max(1.0, slot * 0.78)
        left, y = x + (slot - width) / 2, float(TOP + inner)
        for layer in layers:
            if value := layer.values[n]:
                height = inner * value / top
                y -= height
                parts.append(
                    f'<rect class="{layer.style}" x="{left:.1f}" y="{y:.2f}" width="{width:.1f}" height="{height:.2f}">'
                    f"<title>{escape(label)}: {escape(layer.name)} {escape(tell.exact(value))}"
                    f" of {escape(tell.exact(heights[n]))}</title></rect>"
                )
        if n % every == 0:
            parts.append(
                f'<text class="axis" x="{x + slot / 2:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(label)}</text>'
            )
    return "".join((*parts, "</svg>"))


class Teller:
    """Writes amounts in nano-USD."""

    @staticmethod
    def exact(nanos: int) -> str:
        """With cents, or as many places as a smaller amount needs."""
        return money(nanos)

    @staticmethod
    def short(nanos: int) -> str:
        """For an axis."""
        usd = nanos / 1e9
        if usd >= 1000:
            return f"${usd / 1000:,.10g}k"
        return f"${usd:,.10g}"


def money(nanos: int) -> str:
    """Dollars for people: cents, and three significant digits of what is less than a dollar."""
    sign, usd = ("-" if nanos < 0 else ""), abs(nanos) / 1e9
    if usd == 0 or usd >= 1:
        return f"{sign}${usd:,.2f}"
    places = min(9, 2 - floor(log10(usd)))
    return f"{sign}${usd:.{max(2, places)}f}"


def _scale(highest: int) -> tuple[int, int]:
    """(the axis' end, its step): at most six lines at round amounts."""
    if highest <= 0:
        return 1, 1
    rough = highest / 5
    power = 10 ** floor(log10(rough))
    step = max(1, int(next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= rough)))
    return -(-highest // step) * step, step
