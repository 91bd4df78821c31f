"""``python -m tests.bench [NAME …] [--quick] [--list]``: run bench cases and keep the table of the docs."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tests.bench.harness import Case, Row, cells
from tests.bench.page import update

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs/reference/benchmarks.md"


def discover() -> list[Case]:
    """Every case of every ``bench_*.py`` beside this file, in the order of the modules' names."""
    found: list[Case] = []
    for path in sorted(HERE.glob("bench_*.py")):
        found.extend(importlib.import_module(f"tests.bench.{path.stem}").cases())
    names = [case.name for case in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise SystemExit(f"error: two cases share a name: {', '.join(sorted(twice))}")
    return found


def main(argv: list[str] | None = None) -> int:
    """Run what was asked for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", help="cases to run (default: all)")
    parser.add_argument(
        "--quick", action="store_true", help="small inputs, few pairs; the page is not touched"
    )
    parser.add_argument("--list", action="store_true", help="name the cases")
    args = parser.parse_args(argv)
    cases = {case.name: case for case in discover()}
    if args.list:
        print(*cases, sep="\n")
        return 0
    if unknown := [name for name in args.names if name not in cases]:
        parser.error(f"no case is called {', '.join(unknown)}; there are {', '.join(cases)}")

    rows: list[Row] = []
    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console.width = 200  # a log, which nobody reads in eighty columns
    for name in args.names or cases:
        console.print(f"{name} …", highlight=False)
        measured = []
        for row in cases[name].run(args.quick):
            measured.append(row)
            console.print("  " + "  ".join(filter(None, cells(row))), highlight=False)
        rows += measured
        if not args.quick:
            update(PAGE, measured)
    table = Table("measured", "against", "median", "spread", "target", "", "n")
    for row in rows:
        table.add_row(*cells(row))
    console.print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
