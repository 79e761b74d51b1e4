"""Plots of figures, as SVG that a browser and a page of docs show: figures in, the text of a file out."""

import math
from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _LABEL, _STEP, _BAR = 860, 330, 26, 18
_HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 320, 70, 24, 40, 44
_COLOURS = ("#c2562e", "#3d6a94", "#5f8f57", "#8a6bb0", "#8a9bb0")
_TICKS = 5


def bars(figures: Sequence[tuple[str, float, bool]]) -> str:
    """Horizontal bars in the order given: (title, figure, whether it is ours, in another colour)."""
    most = max((figure for _, figure, _ in figures), default=1.0)
    scale = (_WIDTH - _LABEL - 90) / most
    parts = _begin(len(figures) * _STEP + 12)
    for number, (title, figure, is_ours) in enumerate(figures):
        top = 8 + number * _STEP
        length = max(1, round(figure * scale))
        text = f'y="{top + 14}" fill="#222"'
        colour = _COLOURS[0] if is_ours else _COLOURS[-1]
        weight = ' font-weight="bold"' if is_ours else ""
        parts += [
            f'<text x="{_LABEL - 8}" {text} text-anchor="end"{weight}>{escape(title.replace("`", ""))}</text>',
            f'<rect x="{_LABEL}" y="{top}" width="{length}" height="{_BAR}" fill="{colour}"/>',
            f'<text x="{_LABEL + length + 6}" {text}{weight}>{figure:,.0f}</text>',
        ]
    return _end(parts)


def curves(
    across: str, up: str, series: Mapping[str, Sequence[tuple[float, float]]], *, log_across: bool = False
) -> str:
    """A line per series of (x, y) with x rising, from zero up; `across` and `up` say what the axes are.

    Args:
        log_across: x is drawn by its logarithm; it is above zero then.
    """
    points = [point for line in series.values() for point in line]
    place = math.log10 if log_across else float
    first, last = min(place(x) for x, _ in points), max(place(x) for x, _ in points)
    most = _round_above(max(y for _, y in points))
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x_of(x: float) -> float:
        return _LEFT + width * (place(x) - first) / ((last - first) or 1)

    def y_of(y: float) -> float:
        return _TOP + height * (1 - y / most)

    parts = _begin(_HEIGHT)
    for number in range(_TICKS + 1):
        y = most * number / _TICKS
        parts += [
            f'<path d="M{_LEFT} {y_of(y):.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>',
            f'<text x="{_LEFT - 8}" y="{y_of(y) + 4:.1f}" fill="#222" text-anchor="end">{y:,.4g}</text>',
        ]
    for x in ticks(first, last, log_across=log_across):
        parts.append(f'<text x="{x_of(x):.1f}" y="{_HEIGHT - 24}" fill="#222" text-anchor="middle">{x:,.7g}</text>')
    parts.append(f'<text x="{_LEFT}" y="{_HEIGHT - 6}" fill="#222">{escape(across)}</text>')
    parts.append(f'<text x="8" y="16" fill="#222">{escape(up)}</text>')
    for number, (title, line) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        where = f'x="{_WIDTH - _RIGHT}" y="{16 + 16 * number}"'
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in line)
        parts += [
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
            f'<text {where} fill="{colour}" text-anchor="end">{escape(title)}</text>',
        ]
    return _end(parts)


def ticks(first: float, last: float, *, log_across: bool) -> list[float]:
    """Round numbers along an axis from first to last; of logarithms, the powers of ten."""
    if log_across:
        return [10.0**power for power in range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1)]
    step = _round_above((last - first) / _TICKS)
    return [step * number for number in range(math.ceil(first / step - 1e-9), math.floor(last / step + 1e-9) + 1)]


def _round_above(most: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(most)) if most > 0 else 1.0
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= most)


def _begin(height: int) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}">',
        '<rect width="100%" height="100%" fill="white"/><g font-family="sans-serif" font-size="13">',
    ]


def _end(parts: Sequence[str]) -> str:
    return "\n".join([*parts, "</g></svg>"]) + "\n"
