"""Curves as text for a terminal and as SVG for a page, without any library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

__all__ = ["Curves", "svg_plot", "text_plot"]

Curves = Mapping[str, Sequence[tuple[float, float]]]
"""By name, (x, y) with x > 0 rising; x is drawn on a logarithmic scale."""

_MARKS = "ox+*#@%&"
_COLOURS = ("#1b6ca8", "#c8553d", "#2e8b57", "#8e5ea2", "#b8860b", "#555555")


def text_plot(curves: Curves, *, width: int = 60, height: int = 12) -> list[str]:
    """Draw curves with one letter each; the axes are labelled with their ends.

    Args:
        curves: At least one point.
        width: Columns of the plot itself.
        height: Its lines.
    """
    low_x, high_x, low_y, high_y = _bounds(curves)
    cells = [[" "] * width for _ in range(height)]
    for mark, points in zip(_MARKS * len(curves), curves.values(), strict=False):
        for x, y in points:
            column = round(_part(math.log(x), math.log(low_x), math.log(high_x)) * (width - 1))
            line = round((1 - _part(y, low_y, high_y)) * (height - 1))
            cells[line][column] = mark if cells[line][column] in (" ", mark) else "="
    labels = [f"{high_y:6.3f}", *[" " * 6] * (height - 2), f"{low_y:6.3f}"]
    lines = [f"{label} |{''.join(row)}".rstrip() for label, row in zip(labels, cells, strict=True)]
    legend = "  ".join(f"{mark} {name}" for mark, name in zip(_MARKS * len(curves), curves, strict=False))
    return [*lines, " " * 7 + "+" + "-" * width, " " * 8 + legend + "  = several"]


def svg_plot(
    curves: Curves, *, title: str, x_label: str, y_label: str, ticks: Sequence[tuple[float, str]]
) -> str:
    """Draw curves as an SVG document.

    Args:
        curves: At least one point.
        title: Above the plot.
        x_label: Under the x axis.
        y_label: Beside the y axis.
        ticks: Values of x and how they are written.
    """
    left, top, wide, high = 70, 40, 520, 300
    low_x, high_x, low_y, high_y = _bounds(curves)

    def place(x: float, y: float) -> tuple[float, float]:
        across = left + wide * _part(math.log(x), math.log(low_x), math.log(high_x))
        return across, top + high * (1 - _part(y, low_y, high_y))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + wide + 150} {top + high + 60}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{left + wide + 150}" height="{top + high + 60}" fill="white"/>',
        f'<text x="{left}" y="24" font-size="15">{escape(title)}</text>',
        f'<text x="{left + wide / 2}" y="{top + high + 45}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text transform="translate(18 {top + high / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>",
    ]
    for step in range(5):
        y = low_y + (high_y - low_y) * step / 4
        at = place(low_x, y)[1]
        parts.append(f'<path d="M{left} {at:.1f}h{wide}" stroke="#dddddd"/>')
        parts.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{y:.3f}</text>')
    for x, text in ticks:
        at = place(x, low_y)[0]
        parts.append(f'<path d="M{at:.1f} {top + high}v5" stroke="black"/>')
        parts.append(f'<text x="{at:.1f}" y="{top + high + 20}" text-anchor="middle">{escape(text)}</text>')
    for number, (name, points) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        dots = [place(x, y) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in dots]
        line = top + 14 + 20 * number
        parts.append(f'<text x="{left + wide + 16}" y="{line}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _bounds(curves: Curves) -> tuple[float, float, float, float]:
    xs = [x for points in curves.values() for x, _ in points]
    ys = [y for points in curves.values() for _, y in points]
    return min(xs), max(xs), min(ys), max(ys)


def _part(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5
