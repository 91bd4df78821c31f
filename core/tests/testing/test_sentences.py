"""Every sentence that the kit names stands in the contract."""

import inspect

import pytest

import ziggurat.backend
from ziggurat.plugin import hookspecs
from ziggurat.testing import Rule, _rules

RULES = {name: rule for name, rule in vars(_rules).items() if isinstance(rule, Rule)}


@pytest.mark.parametrize("name", RULES)
def test_every_sentence_stands_in_the_contract(name):
    rule = RULES[name]
    text = " ".join((inspect.getsource(hookspecs) + inspect.getsource(ziggurat.backend)).split())
    sentence = " ".join(rule.sentence.split())
    if rule.place in ("get", "put", "has", "stat", "evict", "put_many", "scan", "identify", "close"):
        text = " ".join(inspect.getdoc(getattr(hookspecs.BackendSpec, rule.place)).split())
    elif rule.place not in ("rules", "keys"):
        text = " ".join(inspect.getdoc(getattr(ziggurat.backend, rule.place)).split())
    else:
        # The table of keys is set in columns: its words are looked for within one column.
        text += " " + " ".join(_columns(inspect.getdoc(hookspecs)))
    assert sentence in text


def _columns(doc):
    lines = doc.splitlines()
    rulers = [number for number, line in enumerate(lines) if line.startswith("====")]
    starts = [
        i for i, mark in enumerate(lines[rulers[0]]) if mark == "=" and lines[rulers[0]][i - 1 : i] != "="
    ]
    for start, stop in zip(starts, [*starts[1:], None], strict=True):
        yield " ".join(" ".join(line[start:stop] for line in lines[rulers[1] + 1 : rulers[2]]).split())
