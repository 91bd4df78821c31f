"""Backends that exist only as descriptions: the configuration never makes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import pytest
from attrs import field, frozen, validators

from ziggurat.backend import BackendType, Capabilities
from ziggurat.config import StackConfig, load
from ziggurat.errors import ConfigError
from ziggurat.plugin.registry import Registry


@frozen
class NoOptions:
    """Nothing to choose."""


@frozen
class DiskOptions:
    path: Path = field(metadata={"help": "Folder of the blobs."})
    small: int = field(default=65536, validator=validators.ge(512), metadata={"unit": "bytes"})


def _tidy(prefix: str) -> str:
    if prefix.startswith("/"):
        raise ValueError("prefix begins with a slash; remove it")
    return prefix


def _known(instance: object, attribute: Any, value: str) -> None:
    if value != "sesame":
        raise ValueError(f"{value!r} opens nothing")


@frozen
class BucketOptions:
    bucket: str
    prefix: str = field(default="", converter=_tidy)
    endpoint_url: str | None = None
    key_id: str = field(default="", validator=validators.max_len(8))
    secret: str | None = field(
        default=None, repr=False, metadata={"secret": True}, validator=validators.optional(_known)
    )
    tokens: tuple[str, ...] = field(default=(), repr=False, metadata={"secret": True})
    ca_file: str | None = field(default=None, metadata={"path": True})
    style: Literal["path", "virtual"] = "path"
    verify: bool = True
    weight: float = 1.0
    hosts: list[str] = field(factory=list)
    labels: Mapping[str, str] = field(factory=dict)
    wait: float = field(default=1.0, metadata={"unit": "seconds"})
    count: int | None = None

    def __attrs_post_init__(self) -> None:
        if self.key_id and not self.bucket.islower():
            raise ValueError(f"bucket {self.bucket!r} and key {self.key_id!r} do not fit together")


class ReadOnly:
    """A backend without put: its factory is its class."""

    def __init__(self, options: object, context: object) -> None: ...
    def get(self, key: str) -> None: ...
    def has(self, key: str) -> None: ...
    def stat(self, key: str) -> None: ...


class Mirror(ReadOnly):
    """A backend whose factory is a method of its class."""

    @classmethod
    def make(cls, options: object, context: object) -> Self:
        return cls(options, context)


class Writable(ReadOnly):
    def put(self, key: str) -> None: ...
    def evict(self, key: str) -> None: ...


def make_gateway(options: object, context: object) -> ReadOnly:
    return ReadOnly(options, context)


def make_anything(options: object, context: object) -> object:
    return Writable(options, context)


BACKENDS = {
    "memory": BackendType(Writable, NoOptions, Capabilities(volatile=True, local=True), 100_000_000),
    "disk": BackendType(make_anything, DiskOptions, Capabilities(local=True, durable=True), 10**9),
    "s3": BackendType(Writable, BucketOptions, Capabilities(durable=True)),
    "swarm": BackendType(Writable, NoOptions, Capabilities(form="dag", public=True, durable=True)),
    "noticeboard": BackendType(Writable, NoOptions, Capabilities(public=True, durable=True), 1000),
    "gateway": BackendType(make_gateway, NoOptions, Capabilities(form="dag")),
    "mirror": BackendType(Mirror.make, NoOptions),
    "shelf": BackendType(ReadOnly, NoOptions),
    "flaky": BackendType(Writable, NoOptions),
}

ARCHIVE = """
[[tier]]
name = "archive"
backend = "s3"
role = "store"
options = { bucket = "vault" }
"""


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.of(BACKENDS, distribution="ziggurat-test", version="1.2")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any configuration, in an empty current folder."""
    folder = tmp_path / "home"
    (folder / "here").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "ZIGGURAT_CONFIG", "ZIGGURAT_STORE_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder / "here")
    return folder


@pytest.fixture
def read(home: Path, registry: Registry) -> Callable[..., StackConfig]:
    """Load a text as ziggurat.toml of the current folder."""

    def _read(text: str, **environ: str) -> StackConfig:
        Path("ziggurat.toml").write_text(text, "utf-8")
        return load("ziggurat.toml", registry=registry, environ=environ)

    return _read


@pytest.fixture
def problems(read: Callable[..., StackConfig]) -> Callable[..., list[str]]:
    """Give the problems of a text, without the name of its file."""

    def _problems(text: str, **environ: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read(text, **environ)
        assert "\n" not in str(caught.value)
        assert all(problem in str(caught.value) for problem in caught.value.problems)
        return [problem.removeprefix("ziggurat.toml:") for problem in caught.value.problems]

    return _problems
