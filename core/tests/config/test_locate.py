from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.config.locate import KeyPath, format_path, line_of, locate

TRICKY = '''# a comment with [[tier]] and key = 1
title = "a # b ] = [["  # [not.a.table]

[store]
"odd key" = \'\'\'
[fake]
fake = 1
two quotes \'\'\'\'\'
path = """
x = \\""" ""still inside
""\"""
'quoted'.deep . key = { a = 1, b.c = [ 1, "}", { d = "]" } ] }

[[tier]]
name = "one" # here
[tier.options]
when = 1979-05-27 07:32:00Z
list = [
  "a", # comment, with ] and ,
  [ 1, 2,
    3 ],
]
[[tier]]
name = "two"
[tier."re try"]
attempts = 3
[[tier.nested]]
x = 1
[[tier.nested]]
y = -inf
[[tier]]
'''

LINES = {
    ("title",): 2,
    ("store",): 4,
    ("store", "odd key"): 5,
    ("store", "path"): 9,
    ("store", "quoted"): 12,
    ("store", "quoted", "deep", "key", "b", "c", 2, "d"): 12,
    ("tier",): 14,
    ("tier", 0): 14,
    ("tier", 0, "name"): 15,
    ("tier", 0, "options", "when"): 17,
    ("tier", 0, "options", "list", 0): 19,
    ("tier", 0, "options", "list", 1): 20,
    ("tier", 0, "options", "list", 1, 2): 21,
    ("tier", 1, "name"): 24,
    ("tier", 1, "re try", "attempts"): 26,
    ("tier", 1, "nested", 0, "x"): 28,
    ("tier", 1, "nested", 1): 29,
    ("tier", 1, "nested", 1, "y"): 30,
    ("tier", 2): 31,
}


def _paths(value: Any, at: KeyPath = ()) -> set[KeyPath]:
    found = {at} if at else set()
    if isinstance(value, dict):
        for key, item in value.items():
            found |= _paths(item, (*at, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            found |= _paths(item, (*at, number))
    return found


def test_lines_of_a_tricky_text() -> None:
    lines = locate(TRICKY)
    assert {path: lines.get(path) for path in LINES} == LINES
    assert set(lines) == _paths(tomllib.loads(TRICKY))


def test_windows_line_ends() -> None:
    assert locate(TRICKY.replace("\n", "\r\n")) == locate(TRICKY)


def test_the_nearest_table_stands_in() -> None:
    lines = locate(TRICKY)
    assert line_of(lines, ("tier", 1, "missing", "deeper")) == 23
    assert line_of(lines, ("nowhere",)) == 1
    assert line_of({}, ()) == 1


def test_garbage_gives_what_was_found() -> None:
    assert locate("a = 1\nb = = 2\n= 3")[("a",)] == 1
    assert isinstance(locate("x = " + "[" * 100_000), dict)


def test_paths_as_messages_show_them() -> None:
    assert format_path(("tier", 1, "options", "odd key", 0)) == "tier[1].options.'odd key'[0]"
    assert "\n" not in format_path(("a\nb",))


_keys = st.one_of(st.from_regex(r"\A[A-Za-z0-9_-]{1,6}\Z"), st.text("ab\"'\\#[]{}=.\n é\t", max_size=5))
_texts = st.text("ab\"'\\#[]{}=,.\n\r\t é", max_size=12)


def _quoted(text: str, style: int) -> str:
    """Write a string in one of the four ways of TOML, where its characters allow it."""
    plain = not any(character in text for character in "'\n\r")
    if style == 1 and plain:
        return f"'{text}'"
    if style == 2 and "'''" not in text and "\r" not in text and not text.endswith("'"):
        return f"'''\n{text}'''"
    escaped = "".join(c if c >= " " and c not in '"\\' else f"\\u{ord(c):04x}" for c in text)
    return f'"""{escaped}"""' if style == 3 else f'"{escaped}"'


@st.composite
def _values(draw: st.DrawFn, depth: int = 2) -> str:
    kind = draw(st.integers(0, 5 if depth else 3))
    if kind == 0:
        return draw(st.sampled_from(["1", "-0.5", "true", "nan", "1979-05-27 07:32:00", "0xff", "1_000"]))
    if kind <= 3:
        return _quoted(draw(_texts), kind)
    gap = draw(st.sampled_from(["", " ", "\n", " # ]},'\n "]))
    if kind == 4:
        items = draw(st.lists(_values(depth - 1), max_size=3))
        return "[" + gap + f"{gap},{gap}".join(items) + gap + "]"
    names = draw(st.lists(_keys, max_size=3, unique=True))
    return "{ " + ", ".join(f"{_quoted(n, 0)} = {draw(_values(depth - 1))}" for n in names) + " }"


@st.composite
def _documents(draw: st.DrawFn) -> str:
    lines = []
    headers = ["", "[s]", "[[t]]", "[t.o]", "[[t]]", "[t.'x y'.z]", "[[t.n]]", "[[t.n]]"]
    for header in headers[: draw(st.integers(1, len(headers)))]:
        lines.append(header)
        for number, value in enumerate(draw(st.lists(_values(), max_size=3))):
            name = draw(st.sampled_from([f"k{number}", f"k{number} . 'b.c'", f'"k {number}"']))
            lines.append(f"{name} = {value}{draw(st.sampled_from(['', ' # = [x]']))}")
    return "\n".join(lines)


@given(_documents())
@settings(max_examples=300, deadline=None)
def test_every_key_of_a_valid_text_is_found(text: str) -> None:
    lines = locate(text)
    assert set(lines) == _paths(tomllib.loads(text))
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())


@given(st.text("ab\"'[]{}=.,#\n\\ ", max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_ends(text: str) -> None:
    lines = locate(text)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(lines) == _paths(data)
