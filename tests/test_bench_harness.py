"""The bench harness measures what it says and keeps the page's table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.bench import page
from tests.bench.__main__ import PAGE, discover, main
from tests.bench.harness import Row, cells, limit, pairs


def test_pairs_interleave_and_give_the_peers_time_over_ours() -> None:
    calls: list[str] = []

    def run(who: str, seconds: float) -> float:
        calls.append(who)
        return seconds

    row = pairs("x", lambda: run("A", 0.5), lambda: run("B", 1.0), 4, against="B", target=1.5)
    assert "".join(calls) == "BA" + "ABBAABBA"  # a warm-up pair, then A B, B A, …
    assert row.values == (2.0,) * 4
    assert row.met
    assert cells(row) == ("x", "B", "2.00 x", "2.00 x … 2.00 x", "≥ 1.50 x", "met", "4")


def test_pairs_time_a_run_that_returns_nothing() -> None:
    row = pairs("x", lambda: None, lambda: None, 7, against="nothing")
    assert len(row.values) == 7
    assert row.median > 0
    assert row.met is None


def test_the_median_decides() -> None:
    row = Row("x", "", (1.0, 9.0, 2.0), target=2.0, unit="ms", at_most=True)
    assert row.met
    assert not Row("x", "y", (1.0, 9.0, 2.0), target=2.1).met
    assert limit("x", iter([300.0, 200.0, 100.0]).__next__, 3, at_most=150, unit="B").met is False


def test_the_table_replaces_its_row_and_leaves_the_others() -> None:
    text = f"# Page\n\n{page.BEGIN}\n{page.END}\n\nMore.\n"
    once = page.render(text, [Row("a", "p", (1.0,)), Row("b", "p", (2.0,))], facts="M", commit="c1")
    twice = page.render(once, [Row("b", "p", (3.0,))], facts="M", commit="c2")
    assert re.findall(r"^\| (\w) .* (\d\.\d\d) x .* (\w+) \|$", twice, re.M) == [
        ("a", "1.00", "c1"),
        ("b", "3.00", "c2"),
    ]
    assert twice.startswith("# Page\n")
    assert twice.endswith("\n\nMore.\n")
    other = page.render(twice, [Row("b", "p", (4.0,))], facts="another machine", commit="c3")
    assert "| a " not in other


def test_the_page_has_its_markers_and_every_case_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text()
    assert text.count(page.BEGIN) == text.count(page.END) == 1
    assert main(["--list"]) == 0
    assert capsys.readouterr().out.split() == [case.name for case in discover()]


def test_an_unknown_case_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["no-such-case"])
    assert caught.value.code == 2
    assert "no-such-case" in capsys.readouterr().err


def test_the_facts_do_not_name_the_machine() -> None:
    import platform

    facts = page.machine()
    assert re.search(r"\d+ cores .* SQLite 3\.\d+", facts)
    assert platform.node() not in facts
    assert str(Path.home()) not in facts
