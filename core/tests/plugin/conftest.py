"""Fake distributions on a path of their own."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Install = Callable[..., Path]

GOOD = """
from attrs import frozen
from ziggurat.backend import BackendType

@frozen
class Options:
    pass

backend = BackendType(factory=lambda options, context: object(), options=Options)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return ``install(distribution, points, modules, version=, group=, site=)``."""

    def make(
        distribution: str,
        points: dict[str, str] | str,
        modules: dict[str, str] | None = None,
        *,
        version: str = "1.2.3",
        group: str = "ziggurat.backends",
        site: str = "site",
        metadata: bool = True,
    ) -> Path:
        folder = tmp_path / site
        info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        if metadata:
            (info / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
            )
        if isinstance(points, dict):
            points = f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
        (info / "entry_points.txt").write_text(points)
        for name, source in (modules or {}).items():
            (folder / f"{name}.py").write_text(source)
        if str(folder) not in sys.path:
            monkeypatch.syspath_prepend(str(folder))
        return folder

    before = set(sys.modules)
    yield make
    for name in set(sys.modules) - before:
        if name.startswith("fake_"):
            del sys.modules[name]
