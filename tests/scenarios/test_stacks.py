"""Whole configurations from TOML files through `open_store`, each with what it promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, field, frozen
from tests.support import dag_backend

import ziggurat_disk
from ziggurat import open_store
from ziggurat.backend import Capabilities
from ziggurat.content import Cid
from ziggurat.errors import BlobNotFound, ConfigError, NotDurable, StoreUnavailable, TierDenied
from ziggurat.plugin.registry import Registry

BIG = os.urandom(3_000_000)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and a folder without a configuration."""
    for name in list(os.environ):
        if name.startswith(("ZIGGURAT_", "XDG_")):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_packaged_default_keeps_things_in_the_home(home: Path) -> None:
    with open_store() as store:
        assert [tier.role for tier in store.tiers] == ["cache", "store"]
        cid = store.put(BIG).cid
        assert store.get(cid) == store.get(cid) == BIG
    assert files(Path.cwd()) == []
    assert all(name.startswith((".local/", "Library/")) for name in files(home))
    done = subprocess.run(
        [sys.executable, "-m", "ziggurat", "get", str(cid), "-o", "-"],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == BIG


def test_a_volatile_stack_makes_no_catalog_and_keeps_nothing(home: Path) -> None:
    path = write(Path("only.toml"), '[[tier]]\nname = "ram"\nbackend = "memory"\ncapacity = "1 MB"\n')
    with open_store(path) as store:
        with pytest.raises(NotDurable, match="no store tier"):
            store.put(b"x")
        with pytest.raises(NotDurable):
            list(store.put_many([b"x"]))
        with pytest.raises(NotDurable):
            store.put_dir(home)
        with pytest.raises(BlobNotFound):
            store.get(Cid.of(b"x"))
        with pytest.raises(BlobNotFound):
            store.remove(Cid.of(b"x"))
        assert store.gc() == ()
        assert list(store.roots()) == list(store.pins()) == list(store.verify()) == []
        assert store.stats().tiers[0].used == 0
        assert not store.has(Cid.of(b"x"))
    assert files(home) == []
    assert files(Path.cwd()) == ["only.toml"]
    assert not (Path.cwd() / "spool").exists()


def test_a_stack_of_sources_only_reads(home: Path, tmp_path: Path) -> None:
    write(tmp_path / "one.toml", disk_toml("one", store="keep"))
    with open_store(tmp_path / "one.toml") as store:
        cid = store.put(BIG).cid
    before = files(tmp_path / "keep")
    path = write(
        tmp_path / "reader" / "r.toml",
        '[[tier]]\nname = "src"\nbackend = "disk"\nrole = "source"\n[tier.options]\npath = "../keep"\n',
    )
    with open_store(path) as store:
        assert store.get(cid) == BIG
        assert store.has(cid)
        with pytest.raises(NotDurable):
            store.put(b"x")
    assert files(tmp_path / "keep") == before, "a source is never written, not even a marker"
    assert files(tmp_path / "reader") == ["r.toml"]


def disk_toml(name: str, *, store: str, more: str = "", top: str = "") -> str:
    return f'[store]\npath = "catalog-{name}"\n{top}\n' + tier_toml(name, store, more)


def tier_toml(name: str, folder: str, more: str = "") -> str:
    return f"""
[[tier]]
name = "{name}"
backend = "disk"
role = "store"
{more}
[tier.options]
path = "{folder}"
"""


def test_relative_paths_count_from_the_file(home: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "deep" / "er" / "z.toml", disk_toml("vault", store="../vault"))
    with open_store(path) as store:
        cid = store.put(b"here").cid
    assert (tmp_path / "deep" / "vault" / "marker.json").exists()
    assert (tmp_path / "deep" / "er" / "catalog-vault" / "catalog.db").exists()
    assert files(Path.cwd()) == []
    os.chdir(tmp_path / "deep")
    with open_store("er/z.toml") as store:
        assert store.get(cid) == b"here"


def test_the_environment_moves_the_catalog_and_names_the_file(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "z.toml", disk_toml("vault", store="vault"))
    monkeypatch.setenv("ZIGGURAT_CONFIG", str(path))
    monkeypatch.setenv("ZIGGURAT_STORE_PATH", str(tmp_path / "elsewhere"))
    with open_store() as store:
        store.put(b"x")
    assert (tmp_path / "elsewhere" / "catalog.db").exists()
    assert not (tmp_path / "catalog-vault").exists()


def test_strings_may_come_from_the_environment(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = disk_toml("vault", store="X").replace('"X"', '{ env = "VAULT_FOLDER" }')
    path = write(tmp_path / "z.toml", text)
    with pytest.raises(ConfigError, match="VAULT_FOLDER"):
        open_store(path)
    monkeypatch.setenv("VAULT_FOLDER", str(tmp_path / "from-env"))
    with open_store(path) as store:
        store.put(b"x")
        assert "from-env" not in repr(store.config)
    assert (tmp_path / "from-env" / "marker.json").exists()


def test_a_disabled_tier_is_not_there(home: Path, tmp_path: Path) -> None:
    both = disk_toml("one", store="one", top="min_copies = 1") + tier_toml("two", "two", "enabled = %s")
    path = write(tmp_path / "z.toml", both % "true")
    with open_store(path) as store:
        cid = store.put(BIG).cid
        store.copy(store.put(b"small").cid, "two")
        store.copy(Cid.of(b"small"), "two")
        store.evict(Cid.of(b"small"), "one")
    write(path, both % "false")
    with open_store(path) as store:
        assert [tier.name for tier in store.tiers] == ["one"]
        assert store.get(cid) == BIG
        with pytest.raises(StoreUnavailable, match="no configured tier"):
            store.get(Cid.of(b"small"))
    write(path, both % '"no such thing"')
    with pytest.raises(ConfigError, match="enabled"):
        open_store(path)
    write(path, (both % "false").replace("min_copies = 1", "min_copies = 2"))
    with pytest.raises(ConfigError, match="min_copies"):
        open_store(path)


def test_a_tier_with_probe_false_is_asked_only_for_what_is_listed(home: Path, tmp_path: Path) -> None:
    with open_store(write(tmp_path / "other.toml", disk_toml("other", store="shared"))) as store:
        stray = store.put(b"put by somebody else").cid
    path = write(tmp_path / "z.toml", disk_toml("mine", store="shared", more="probe = false"))
    with open_store(path) as store:
        mine = store.put(b"mine").cid
        assert store.get(mine) == b"mine"
        assert store.has(mine)
        assert not store.has(stray)
        with pytest.raises(BlobNotFound):
            store.get(stray)
        assert store.adopt(stray, "mine").copies == ("mine",)
        assert store.get(stray) == b"put by somebody else"


def test_a_trusted_cache_is_believed_and_another_is_not(home: Path, tmp_path: Path) -> None:
    text = (
        '[[tier]]\nname = "ssd"\nbackend = "disk"\nrole = "cache"\ncapacity = "1 MB"\ntrusted = %s\n'
        '[tier.options]\npath = "ssd"\n'
        '[[tier]]\nname = "vault"\nbackend = "disk"\nrole = "store"\n[tier.options]\npath = "vault"\n'
    )
    path = write(tmp_path / "z.toml", text % "true")
    with open_store(path) as store:
        cid = store.put(b"the truth").cid
        store.get(cid)
        store._parts.filler.drain()
        tier: Any = store.tiers[0]
        tier.put_block(cid.cache_key, b"a lie....")
        assert store.get(cid) == b"a lie....", "that is what the user's word means"
    write(path, text % "false")
    with open_store(path) as store:
        assert store.get(cid) == b"the truth"
        assert any("fails its proof" in str(error) for error in store.failures())


def test_a_public_dag_store_without_publish_is_read_and_never_written(home: Path, tmp_path: Path) -> None:
    medium = dag_backend.DagMedium()

    @frozen
    class Options:
        medium: dag_backend.DagMedium = field(factory=lambda: medium)

    able = Capabilities(form="dag", public=True, durable=True, local=True)
    net = evolve(dag_backend.backend, options=Options, capabilities=able)
    registry = Registry.of({"net": net, "disk": ziggurat_disk.backend})
    tier = '[[tier]]\nname = "net"\nbackend = "net"\nrole = "store"\n'
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_bytes(BIG)

    alone = write(tmp_path / "alone.toml", tier)
    with pytest.raises(ConfigError, match="publish = true"):
        open_store(alone, registry=registry)
    write(alone, tier + "publish = true\n")
    with open_store(alone, registry=registry) as store:
        root = store.put_dir(tmp_path / "tree").cid
    medium.asked.clear()

    path = write(tmp_path / "both.toml", disk_toml("vault", store="vault") + tier)
    with open_store(path, registry=registry) as store:
        assert store.get(f"{root}/a") == BIG
        assert store.put_dir(tmp_path / "tree").copies == ("vault",)
        private = store.put(b"private")
        assert private.copies == ("vault",)
        with pytest.raises(TierDenied, match="publish"):
            store.copy(private.cid, "net")
        store.remove(root)
        store.gc()
    assert not {op for op, _ in medium.asked} & {"put", "evict"}
    assert root in medium.roots

    write(path, disk_toml("vault", store="vault", top="min_copies = 2") + tier)
    with pytest.raises(ConfigError, match="publish = true"):
        open_store(path, registry=registry)
