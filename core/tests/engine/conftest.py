"""Stacks over media that a test holds by the hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.support.stacks import Spec, open_stack

from ziggurat import Store
from ziggurat.content import Profile
from ziggurat.tiers import CacheTier, StoreTier

SMALL = Profile(chunk_size=64, max_links=3)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Opens stores over tiers, each in a folder of its own; closes them."""
    opened: list[Store] = []
    numbers = count()

    def build(
        *tiers: CacheTier | StoreTier, profile: Profile | str = SMALL, path: Path | None = None, **given: Any
    ) -> Store:
        opened.append(
            Store.from_tiers(
                tiers, path=path or tmp_path / f"store-{next(numbers)}", profile=profile, **given
            )
        )
        return opened[-1]

    yield build
    for store in opened:
        store.close()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Opens stacks from what a configuration would say, by the name of their folder; closes them."""
    made: list[Store] = []

    def make(*specs: Spec, name: str = "catalog", **more: Any) -> Store:
        made.append(open_stack(tmp_path / name, *specs, **more))
        return made[-1]

    yield make
    for store in made:
        store.close()
