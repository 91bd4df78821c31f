"""For each sentence that the kit checks, a backend that breaks it: the kit must notice, and say which."""

import pytest
from attrs import evolve

from . import broken_answers, broken_media, broken_puts  # noqa: F401 - for what they mark as broken
from .support import BROKEN, first_to_name, subject


@pytest.mark.parametrize(("rule", "kind", "more"), BROKEN)
def test_a_broken_backend_is_caught_and_the_sentence_is_named(rule, kind, more, tmp_path):
    broken = subject(kind, **more)
    if kind is broken_media.TouchesTheMedium:
        options = broken.options
        broken = evolve(broken, options=lambda path: path.mkdir() or options(path))
    assert rule.sentence in first_to_name(rule, broken, tmp_path)[-1]
