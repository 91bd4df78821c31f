"""A foreign exception may quote a secret; no error of ours repeats it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen

from ziggurat.backend import BackendType, Capabilities, Context, Stat, hookimpl
from ziggurat.config.model import TierConfig
from ziggurat.errors import BackendFault, PluginError
from ziggurat.plugin.registry import Provider
from ziggurat.tiers import make_tier


@frozen
class Options:
    password: str = field(default="sesame", repr=False, metadata={"secret": True})
    headers: Mapping[str, Mapping[str, str]] = field(factory=dict, repr=False, metadata={"secret": True})
    fails: bool = False


class Talkative:
    def __init__(self, options: Options) -> None:
        self.options = options

    @hookimpl
    def get(self, key: str) -> bytes | None:
        raise ValueError(f"login with {self.options.password} refused, headers {self.options.headers}")

    @hookimpl
    def has(self, key: str) -> bool:
        return False

    @hookimpl
    def stat(self, key: str) -> Stat | None:
        return None


def _made(options: Options, _context: Context) -> object:
    if options.fails:
        raise ValueError(f"cannot use {options.password}")
    return Talkative(options)


def _tier(**options: Any) -> Any:
    kind = BackendType(_made, Options, Capabilities(durable=True, local=True))
    config = TierConfig("t", Provider("talkative", "d", "1"), kind, "source", Options(**options))
    return make_tier(config, catalog="", spool=Path())


def test_a_fault_hides_the_secret() -> None:
    with pytest.raises(BackendFault, match=r"login with \*\*\* refused") as caught:
        _tier().get("bafkqaaa")
    assert "sesame" not in str(caught.value)
    assert "sesame" not in repr(caught.value)


def test_a_fault_hides_secrets_inside_a_table() -> None:
    with pytest.raises(BackendFault) as caught:
        _tier(headers={"https://a.example": {"Authorization": "Bearer xyzzy"}}).get("bafkqaaa")
    assert "xyzzy" not in str(caught.value)
    assert "https://a.example" in str(caught.value)


def test_a_factory_that_fails_hides_the_secret() -> None:
    with pytest.raises(PluginError, match=r"cannot use \*\*\*"):
        _tier(fails=True)
