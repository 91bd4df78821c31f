"""TOML to frozen values: every check of a configuration, and all its problems in one report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import attrs
from attrs import define, field, frozen

from ziggurat.config import keys, options, roles
from ziggurat.config import source as sources
from ziggurat.config.locate import KeyPath
from ziggurat.config.model import StackConfig, TierConfig
from ziggurat.config.reader import MISSING, Reader
from ziggurat.config.report import Report
from ziggurat.config.tier import TierReader
from ziggurat.plugin.registry import POLICIES, Registry
from ziggurat.policy.score import ScoreParameters

__all__ = ["Loaded", "load", "load_document", "open_document"]

_PROFILE = "unixfs-v1-2025"


@frozen
class Loaded:
    """A checked configuration, and how it came about.

    Attributes:
        stack: The result.
        document: What was read.
        variables: The environment variable that each key took its value from.
        positions: Position in the file of each tier of the stack.
    """

    stack: StackConfig
    document: sources.Document
    variables: Mapping[KeyPath, str]
    positions: tuple[int, ...]


def load(
    source: str | os.PathLike[str] | Mapping[str, Any] | sources.Source | None = None,
    *,
    registry: Registry | None = None,
    policies: Registry | None = None,
    environ: Mapping[str, str] | None = None,
) -> StackConfig:
    """Load and check a configuration.

    Importing is limited to the backends of the tiers that are enabled; nothing is opened, and no folder is
    made.

    Args:
        source: A path, the tables themselves, what `find` found, or None to follow the search order.
        registry: The installed backends, by default those that entry points announce.
        policies: The installed policies, by default those that entry points announce.
        environ: The environment for references and ``ZIGGURAT_*``, by default the process's.

    Returns:
        The stack.

    Raises:
        ConfigError: With all problems, each with file, line, path and a suggestion; `UnknownBackend` and
            `DuplicateTier` when there are no others.
        PluginError: An installed plugin cannot be used, and nothing else is wrong.
    """
    environ = os.environ if environ is None else environ
    return load_document(open_document(source, environ), registry, environ, policies).stack


def open_document(
    source: str | os.PathLike[str] | Mapping[str, Any] | sources.Source | None, environ: Mapping[str, str]
) -> sources.Document:
    """Read what `load` would check.

    Raises:
        ConfigError: It cannot be read, or is not TOML.
    """
    if isinstance(source, Mapping):
        return sources.mapping(source)
    if isinstance(source, sources.Source):
        return sources.read(source)
    return sources.read(sources.find(source, environ))


def load_document(
    document: sources.Document,
    registry: Registry | None,
    environ: Mapping[str, str],
    policies: Registry | None = None,
) -> Loaded:
    """Check a document; see `load`."""
    report = Report(document.label, document.lines)
    try:
        reader = Reader(report, environ, document.base)
        loaded = _Loader(document, registry or Registry(), policies or Registry(POLICIES), reader).run()
    except RecursionError:
        report.add((), "nested too deeply to be a configuration")
        loaded = None
    report.throw()
    assert loaded is not None, "no stack without a problem"  # noqa: S101 - an invariant, for the type checker too
    return loaded


@define
class _Loader:
    document: sources.Document
    registry: Registry
    policies: Registry
    reader: Reader
    tiers: list[TierConfig] = field(factory=list)
    positions: list[int] = field(factory=list)
    incomplete: bool = False  # some tier is missing from `tiers` because of a problem

    @property
    def report(self) -> Report:
        return self.reader.report

    @property
    def packaged(self) -> bool:
        return self.document.source is not None and self.document.source.packaged

    def run(self) -> Loaded | None:
        top = self.reader.fields(self.document.data, (), keys.TOP)
        store = self.reader.fields(top.get("store", {}), ("store",), keys.STORE)
        heat = options.build(ScoreParameters, store.get("heat", {}), ("store", "heat"), self.reader)
        if "tier" in top:
            self.read_tiers(top["tier"], ScoreParameters() if heat is MISSING else heat)
        else:
            self.incomplete = True
        min_copies = store.get("min_copies", 1)
        if not self.incomplete and (problem := roles.copies_problem(self.tiers, min_copies)):
            self.report.add(("store", "min_copies"), problem)
        path = self.store_path(store)
        if len(self.report):
            return None
        file = self.document.source
        stack = StackConfig(
            tiers=tuple(self.tiers),
            path=path,
            min_copies=min_copies,
            profile=store.get("profile", _PROFILE),
            origin=file.path if file is not None and not self.packaged else None,
            access_log=store.get("access_log", False),
            heat=heat,
        )
        return Loaded(stack, self.document, self.reader.variables, tuple(self.positions))

    def store_path(self, store: Mapping[str, Any]) -> Any:
        at: KeyPath = ("store", "path")
        override = self.reader.environ.get("ZIGGURAT_STORE_PATH")
        if override:
            # The person who sets a variable thinks of the folder that they are in.
            here = attrs.evolve(self.reader, base=sources.mapping({}).base)
            try:
                path = here.path(override)
            except ValueError as error:
                self.report.add(at, f"the value of ZIGGURAT_STORE_PATH cannot be used: {error}")
                return MISSING
            self.reader.variables[at] = "ZIGGURAT_STORE_PATH"
            return path
        if "path" in store:
            return store["path"]
        if self.document.source is None and any(
            tier.role == "store" or (tier.role == "cache" and not tier.type.capabilities.volatile)
            for tier in self.tiers
        ):
            # Derived from the tables it would move, and leave its catalog, with every change of a value.
            self.report.add(at, "missing; a mapping has no file to derive it from: name the folder")
            return MISSING
        return self.document.default_path()

    def read_tiers(self, tables: object, heat: ScoreParameters) -> None:
        if isinstance(tables, Mapping) or not isinstance(tables, (list, tuple)):
            self.report.add(("tier",), "expected an array of tables; write [[tier]] above each tier")
            self.incomplete = True
            return
        tiers = TierReader(self.reader, self.registry, self.policies, heat, packaged=self.packaged)
        for position, table in enumerate(tables):
            before = len(self.report)
            tier = tiers.read(table, ("tier", position))
            self.incomplete = self.incomplete or len(self.report) > before
            if tier is not None:
                self.tiers.append(tier)
                self.positions.append(position)
        if not self.tiers and not self.incomplete:
            why = "every tier is switched off" if tables else "there is no tier"
            self.report.add(
                ("tier",), f"{why}, and a stack needs one; `ziggurat config init` writes an example"
            )
