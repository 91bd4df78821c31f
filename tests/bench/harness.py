"""Ratios against a named peer: interleaved pairs in one process, the median and its spread.

A bench module is ``tests/bench/bench_<topic>.py`` with a function ``cases()`` that yields `Case` values.
Absolute times of a shared machine say little; a ratio of neighbours in time says something, and its
spread says how much.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Sequence

from attrs import field, frozen, validators

__all__ = ["Case", "Row", "limit", "pairs"]

Timed = Callable[[], float | None]
"""One run. It may return its own seconds, to leave preparation out; None lets the harness time the call."""


@frozen
class Row:
    """One measured line of the table.

    Attributes:
        name: What was measured, such as "memory hit, 4 KiB, 10k entries".
        against: The named peer, or "" for a measurement that stands alone.
        values: Every ratio or value, in the order measured.
        target: The bound that the project sets itself, None when it sets none.
        unit: "x" for a ratio (peer's time / ours: more is better), else the unit of the values.
        at_most: True if the target is an upper bound.
    """

    name: str
    against: str
    values: tuple[float, ...] = field(validator=validators.min_len(1))
    target: float | None = None
    unit: str = "x"
    at_most: bool = False

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the median meets the target; None without one."""
        if self.target is None:
            return None
        return self.median <= self.target if self.at_most else self.median >= self.target


@frozen
class Case:
    """Something to measure, chosen by name on the command line.

    Attributes:
        name: Short, such as "memory-hit".
        run: Called with True for a quick look (small inputs, few pairs); yields the rows it measured.
    """

    name: str
    run: Callable[[bool], Iterable[Row]]


def _seconds(call: Timed) -> float:
    gc.collect()
    start = time.perf_counter()
    own = call()
    return time.perf_counter() - start if own is None else own


def pairs(
    name: str,
    ours: Timed,
    peer: Timed,
    n: int = 9,
    *,
    against: str,
    target: float | None = None,
    warm_up: int = 1,
) -> Row:
    """Measure ours against a peer in interleaved pairs: A B, B A, A B, …

    Args:
        name: What is measured.
        ours: One run of ours.
        peer: One run of the same work done by the peer.
        n: Pairs to measure; at least 7 for a table.
        against: The peer's name.
        target: The least ratio wanted.
        warm_up: Pairs run first and thrown away.

    Returns:
        A row whose values are the peer's seconds over ours, pair by pair.
    """
    ratios = []
    for turn in range(-warm_up, n):
        if turn % 2 == 0:
            mine, theirs = _seconds(ours), _seconds(peer)
        else:
            theirs, mine = _seconds(peer), _seconds(ours)
        if turn >= 0:
            ratios.append(theirs / mine)
    return Row(name, against, tuple(ratios), target)


def limit(
    name: str,
    measure: Callable[[], float],
    n: int = 1,
    *,
    at_most: float | None,
    unit: str,
    against: str = "",
) -> Row:
    """Measure something that has an upper bound of its own: bytes an entry, milliseconds of start-up.

    Args:
        name: What is measured.
        measure: Returns one value in `unit`.
        n: How often to measure.
        at_most: The largest value wanted, None to report without a target.
        unit: Of the values, such as "B" or "ms".
        against: What it is compared with, if anything.

    Returns:
        A row of the values.
    """
    values = []
    for _ in range(n):
        gc.collect()
        values.append(measure())
    return Row(name, against, tuple(values), at_most, unit, at_most=True)


def cells(row: Row) -> Sequence[str]:
    """What the table says of a row: name, peer, median, spread, target, verdict and count.

    Args:
        row: What was measured.

    Returns:
        Seven cells of Markdown text.
    """

    def number(value: float) -> str:
        digits = f"{value:.2f}" if row.unit == "x" or abs(value) < 10 else f"{value:,.0f}"
        return f"{digits} {row.unit}"

    target = ""
    if row.target is not None:
        target = f"{'≤' if row.at_most else '≥'} {number(row.target)}"
    return (
        row.name,
        row.against,
        number(row.median),
        f"{number(min(row.values))} … {number(max(row.values))}" if len(row.values) > 1 else "",
        target,
        {None: "", True: "met", False: "missed"}[row.met],
        str(len(row.values)),
    )
