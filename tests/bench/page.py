"""The page docs/reference/benchmarks.md: a table between two markers, kept up to date row by row."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.bench.harness import Row, cells

__all__ = ["BEGIN", "END", "machine", "render", "update"]

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
_HEAD = ("measured", "against", "median", "spread", "target", "", "n", "commit")


def machine() -> str:
    """Facts that explain the numbers, without naming the machine."""
    import apsw

    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    return (
        f"{os.cpu_count()} cores ({model}), {platform.system()} {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}"
    )


@cache
def _commit() -> str:
    """The commit that was measured, marked when the tree differed from it before the page was written."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def _line(parts: Sequence[str]) -> str:
    return f"| {' | '.join(parts)} |"


def _old_rows(body: str) -> dict[str, str]:
    """The rows of the table as it stands, by name."""
    rows = [line for line in body.splitlines() if line.startswith("| ")]
    # After the head and the rule beneath it.
    return {line.split(" | ")[0].removeprefix("| "): line for line in rows[2:]}


def render(text: str, rows: Sequence[Row], *, facts: str, commit: str, order: Sequence[str] = ()) -> str:
    """Put rows into the page's table; a row of the same name is replaced, the others stay.

    Rows that another machine measured are dropped: one table, one machine.

    Args:
        text: The page, with both markers.
        rows: What was measured.
        facts: The machine, one line.
        commit: What was measured.
        order: Names in the order wanted; the rest follow as they stand.

    Returns:
        The page with its new table.
    """
    before, rest = text.split(BEGIN, 1)
    body, after = rest.split(END, 1)
    lines = _old_rows(body) if facts in body else {}
    lines |= {row.name: _line((*cells(row), commit)) for row in rows}
    ranked = sorted(lines, key=lambda name: order.index(name) if name in order else len(order))
    table = "\n".join([_line(_HEAD), _line(["---"] * len(_HEAD)), *(lines[name] for name in ranked)])
    return f"{before}{BEGIN}\nMeasured on {facts}, by `make bench`.\n\n{table}\n{END}{after}"


def update(page: Path, rows: Sequence[Row]) -> None:
    """Write rows into the page.

    Args:
        page: The Markdown file.
        rows: What was measured.
    """
    page.write_text(render(page.read_text(), rows, facts=machine(), commit=_commit()))
