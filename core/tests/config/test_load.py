from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import field, frozen

from ziggurat.backend import BackendType, Capabilities, Timeouts
from ziggurat.config import Limit, Retry, StackConfig, find, load, starter
from ziggurat.errors import ConfigError, DuplicateTier, PluginError, UnknownBackend
from ziggurat.plugin.registry import Registry

Read = Callable[..., StackConfig]

RAM = {"name": "ram", "backend": "memory"}
DISK = {"name": "disk", "backend": "disk", "role": "store", "options": {"path": "blobs"}}


def test_a_whole_stack(read: Read, home: Path) -> None:
    stack = read(
        """
        [store]
        path = "~/vault"
        min_copies = 1
        profile = "unixfs-v0-2015"
        [[tier]]
        name = "ram"
        backend = "memory"
        [[tier]]
        name = "ssd"
        backend = "ziggurat-test:disk"
        role = "cache"
        [tier.options]
        path = "../blocks"
        small = "1 kB"
        [[tier]]
        name = "archive"
        backend = "s3"
        role = "store"
        capacity = "2 TB"
        probe = false
        trusted = true
        [tier.options]
        bucket = "vault"
        secret = { env = "SECRET" }
        tokens = [{ env = "A" }, { env = "B" }]
        ca_file = "ca.pem"
        labels = { env = "live", team = { env = "TEAM", default = "storage" } }
        wait = "250 ms"
        [tier.retry]
        attempts = 5
        [tier.limit]
        rate = 2
        [tier.timeout]
        total = "10 min"
        [tier.breaker]
        failures = 0
        [[tier]]
        name = "web"
        backend = "gateway"
        """,
        SECRET="sesame",
        A="a",
        B="b",
    )
    ram, ssd, archive, web = stack.tiers
    here = home / "here"
    assert (stack.path, stack.min_copies, stack.profile) == (home / "vault", 1, "unixfs-v0-2015")
    assert stack.origin == Path("ziggurat.toml")
    assert (ram.role, ram.capacity, ram.retry, ram.breaker) == ("cache", 100_000_000, Retry(1, 5.0), 0)
    assert (ram.limit, ram.timeouts) == (Limit(), Timeouts())
    assert (ssd.capacity, ssd.options.path, ssd.options.small) == (10**9, home / "blocks", 1000)
    assert (archive.capacity, archive.probe, archive.trusted) == (2 * 10**12, False, True)
    assert archive.retry == Retry(5, 5.0)
    assert archive.limit == Limit(16, 2.0)
    assert archive.timeouts == Timeouts(10.0, 60.0, 600.0)
    assert archive.breaker == 0
    options = archive.options
    assert (options.secret, options.tokens, options.wait) == ("sesame", ("a", "b"), 0.25)
    # A table of free keys is no reference, even when one of its keys is "env".
    assert options.labels == {"env": "live", "team": "storage"}
    assert options.ca_file == str(here / "ca.pem")
    assert (web.role, web.retry, web.breaker) == ("source", Retry(3, 5.0), 5)
    assert "sesame" not in repr(stack)


@pytest.mark.parametrize(
    ("backend", "role"),
    [("memory", "cache"), ("gateway", "source"), ("mirror", "source"), ("shelf", "source")],
)
def test_roles_that_follow_from_the_backend(home: Path, registry: Registry, backend: str, role: str) -> None:
    stack = load({"tier": [{"name": "x", "backend": backend}]}, registry=registry, environ={})
    assert stack.tiers[0].role == role


def test_a_public_store_without_leave_is_kept_as_a_read_store(home: Path, registry: Registry) -> None:
    swarm = {"name": "swarm", "backend": "swarm", "role": "store"}
    stack = load({"store": {"path": "x"}, "tier": [DISK, swarm]}, registry=registry, environ={})
    assert (stack.tiers[1].role, stack.tiers[1].publish) == ("store", False)


def test_a_mapping_counts_from_the_current_folder(home: Path, registry: Registry, tmp_path: Path) -> None:
    stack = load({"store": {"path": tmp_path}, "tier": (RAM, DISK)}, registry=registry, environ={})
    assert stack.path == tmp_path
    assert stack.origin is None
    assert stack.tiers[1].options.path == home / "here" / "blobs"


def test_a_mapping_that_only_caches_needs_no_path(home: Path, registry: Registry) -> None:
    folders = {load({"tier": [RAM]}, registry=registry, environ={}).path for _ in range(2)}
    assert len(folders) == 1
    assert folders.pop().parent == home / ".local/share/ziggurat/stores"


def test_each_file_has_a_folder_of_its_own(home: Path, registry: Registry) -> None:
    paths = []
    for name in ("a.toml", "b.toml"):
        Path(name).write_text(starter())
        paths.append(load(name, registry=registry, environ={}).path)
    Path("link.toml").symlink_to("a.toml")
    paths.append(load(home / "here" / "a.toml", registry=registry, environ={}).path)
    assert paths[0] != paths[1]
    assert paths[0] == paths[2]
    assert paths[0].name.startswith("a-")
    assert paths[0].parent == home / ".local/share/ziggurat/stores"
    # The same file under another name is the same store; the hash says so.
    linked = load("link.toml", registry=registry, environ={}).path
    assert linked == paths[0]


def test_the_variable_overrides_the_path(read: Read, home: Path) -> None:
    assert read(starter(), ZIGGURAT_STORE_PATH="elsewhere").path == home / "here" / "elsewhere"
    assert read(starter(), ZIGGURAT_STORE_PATH="~/elsewhere").path == home / "elsewhere"
    assert read(starter(), ZIGGURAT_STORE_PATH="").path.parent.name == "stores"


def test_references_give_any_text(read: Read) -> None:
    text = """
    [[tier]]
    name = { env = "NAME" }
    backend = { env = "BACKEND", default = "memory" }
    role = { env = "ROLE", default = "cache" }
    capacity = { env = "SIZE" }
    [tier.retry]
    max_wait = { env = "WAIT", default = "2 s" }
    """
    tier = read(text, NAME="fast", SIZE="3 MiB").tiers[0]
    assert (tier.name, tier.provider.name, tier.capacity) == ("fast", "memory", 3 << 20)
    assert tier.retry.max_wait == 2.0


def test_a_tier_that_is_switched_off_needs_nothing(read: Read) -> None:
    text = """
    [[tier]]
    name = "ram"
    backend = "memory"
    [[tier]]
    name = "ram"
    backend = "not-installed"
    capacity = { env = "UNSET" }
    enabled = false
    [tier.options]
    secret = { env = "UNSET" }
    """
    assert [tier.name for tier in read(text).tiers] == ["ram"]


def test_the_packaged_default(home: Path, registry: Registry) -> None:
    stack = load(registry=registry, environ={})
    data = home / ".local/share/ziggurat/default"
    assert [(tier.name, tier.role, tier.capacity) for tier in stack.tiers] == [
        ("ram", "cache", 100_000_000),
        ("disk", "store", None),
    ]
    assert stack.path == data / "catalog"
    assert stack.tiers[1].options.path == data / "blobs"
    assert stack.origin is None


def test_the_packaged_default_without_backends(home: Path) -> None:
    with pytest.raises(UnknownBackend) as caught:
        load(registry=Registry.of({}), environ={})
    assert len(caught.value.problems) == 2
    assert caught.value.problems[0].startswith("packaged default:")
    assert all('pip install "ziggurat[local]"' in problem for problem in caught.value.problems)


def test_the_starter_is_a_configuration(read: Read, home: Path) -> None:
    stack = read(starter())
    assert [tier.role for tier in stack.tiers] == ["cache", "store"]
    assert stack.tiers[1].options.path == home / "here" / "blobs"
    # Its commented lines are one too: each setting that it shows exists.
    shown = [line.removeprefix("# ") for line in starter().splitlines() if line.startswith("# ")]
    settings = [line for line in shown if line.startswith("[") or line.partition(" = ")[0].isidentifier()]
    tier = 'name = "x"\nbackend = "s3"\nrole = "store"\noptions = { bucket = "b" }\n'
    store = [line for line in settings if line.startswith("path")]
    assert len(settings) >= 16
    read("\n".join(["[store]", *store, "[[tier]]", tier, *(line for line in settings if line not in store)]))


@frozen
class _Plain:
    path: str = field(default="x")


def test_backends_that_cannot_be_used(home: Path) -> None:
    class Broken:
        pass

    old = BackendType(lambda options, context: None, _Plain, Capabilities(), contract=0)
    registry = Registry.of({"broken": Broken(), "old": old})
    with pytest.raises(PluginError, match="broken"):
        load({"tier": [{"name": "a", "backend": "broken"}]}, registry=registry, environ={})
    with pytest.raises(ConfigError) as caught:
        load(
            {"tier": [{"name": "a", "backend": "broken"}, {"name": "b", "backend": "old"}]},
            registry=registry,
            environ={},
        )
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "tier[0].backend",
        "tier[1].backend",
    ]


def test_the_kind_of_error_says_what_all_problems_share(home: Path, registry: Registry) -> None:
    with pytest.raises(DuplicateTier):
        load({"tier": [RAM, RAM, RAM]}, registry=registry, environ={})
    with pytest.raises(UnknownBackend, match="memory"):
        load({"tier": [{"name": "a", "backend": "memry"}]}, registry=registry, environ={})
    with pytest.raises(ConfigError) as caught:
        load({"tier": [RAM, RAM, {"name": "a", "backend": "memry"}]}, registry=registry, environ={})
    assert type(caught.value) is ConfigError


def test_what_find_found_can_be_loaded(home: Path, registry: Registry) -> None:
    Path("ziggurat.toml").write_text(starter())
    assert load(find(None, {}), registry=registry, environ={}).origin == Path("ziggurat.toml")
