from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ziggurat.config import StackConfig, describe, promises
from ziggurat.config.show import show
from ziggurat.errors import ConfigError

Read = Callable[..., StackConfig]

RAM = '[[tier]]\nname = "ram"\nbackend = "memory"\n'
SSD = '[[tier]]\nname = "ssd"\nbackend = "disk"\nrole = "cache"\noptions.path = "blocks"\n'
DISK = '[[tier]]\nname = "disk"\nbackend = "disk"\nrole = "store"\noptions.path = "blobs"\n'
ARCHIVE = '[[tier]]\nname = "archive"\nbackend = "s3"\nrole = "store"\noptions.bucket = "vault"\n'
SWARM = '[[tier]]\nname = "swarm"\nbackend = "swarm"\nrole = "store"\n'
WEB = '[[tier]]\nname = "web"\nbackend = "gateway"\n'


def test_the_promises_of_the_example(read: Read) -> None:
    assert promises(read(RAM + SSD + ARCHIVE)) == (
        "a put returns when one copy is on archive",
        "a blob is read from ram, then ssd, then archive",
        "ram keeps at most 100 MB of blocks that were read, until the process ends",
        "ssd keeps at most 1 GB of blocks that were read",
        "every byte is proved before a reader sees it",
        "nothing is published",
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (RAM, "a put is refused, because no tier is a store"),
        (DISK + ARCHIVE, "a put returns when one copy is on disk, or on archive when disk cannot take it"),
        ("store.min_copies = 2\n" + DISK + ARCHIVE, "a put returns when two copies are on disk and archive"),
        (
            "store.min_copies = 2\n" + DISK + ARCHIVE + SWARM + "publish = true",
            "a put returns when two copies are on disk and archive, "
            "or on swarm in place of one that cannot take it",
        ),
        (DISK + SWARM, "swarm is read and never written, because it would publish what is put"),
        (DISK + SWARM, "nothing is published"),
        (SWARM + "publish = true", "what reaches swarm is published and cannot be taken back"),
        (WEB + DISK + RAM, "a blob is read from ram, then disk, then web"),
        (WEB + DISK, "web is asked last and never written"),
        (DISK + "probe = false", "disk is asked only for what the catalog lists there"),
        (DISK + 'capacity = "1 TB"', "disk keeps at most 1 TB"),
        (
            DISK + "trusted = true",
            "bytes from disk are believed without proof, because you said trusted = true",
        ),
        (RAM + DISK + "trusted = true", "every byte from another tier is proved before a reader sees it"),
    ],
)
def test_promises(read: Read, text: str, sentence: str) -> None:
    assert sentence in promises(read(text))


def test_nothing_untrue_is_promised(read: Read) -> None:
    said = promises(read(DISK + "trusted = true\n" + SWARM + "publish = true"))
    assert "nothing is published" not in said
    assert "every byte is proved before a reader sees it" not in said
    assert not any("every byte" in sentence for sentence in promises(read(DISK + "trusted = true")))


def test_the_tiers_are_described(read: Read) -> None:
    ram, swarm, disk = describe(read(RAM + SWARM + DISK))
    assert (ram.tier, ram.role, ram.backend, ram.capacity) == ("ram", "cache", "memory", 100_000_000)
    assert (ram.distribution, ram.version, ram.volatile, ram.written) == ("ziggurat-test", "1.2", True, True)
    assert (swarm.form, swarm.public, swarm.written) == ("dag", True, False)
    assert (disk.durable, disk.local, disk.capacity, disk.written) == (True, True, None, True)


def _shown(read: Read, registry: Any, text: str, **environ: str) -> dict[str, tuple[str, str]]:
    read(text, **environ)
    settings = show("ziggurat.toml", registry=registry, environ=environ)
    shown = {setting.key: (setting.value, setting.origin) for setting in settings}
    assert len(shown) == len(settings)
    return shown


def test_show_names_the_winner(read: Read, registry: Any, home: Any) -> None:
    text = (
        '[store]\npath = "s"\n' + RAM + 'capacity = { env = "SIZE", default = "1 MB" }\nretry.attempts = 2\n'
    )
    shown = _shown(read, registry, text)
    assert shown["store.path"] == (str(home / "here" / "s"), "ziggurat.toml:2")
    assert shown["store.min_copies"] == ("1", "default")
    assert shown["tier[0].backend"] == ("ziggurat-test:memory", "ziggurat.toml:5")
    assert shown["tier[0].role"] == ("cache", "default")
    assert shown["tier[0].capacity"] == ("1 MB", "ziggurat.toml:6")
    assert shown["tier[0].retry.attempts"] == ("2", "ziggurat.toml:7")
    assert shown["tier[0].retry.max_wait"] == ("5 s", "default")
    shown = _shown(read, registry, text, SIZE="3 GB", ZIGGURAT_STORE_PATH="/t")
    assert shown["store.path"] == ("/t", "environment variable ZIGGURAT_STORE_PATH")
    assert shown["tier[0].capacity"] == ("3 GB", "environment variable SIZE")


def test_show_says_what_is_switched_off(read: Read, registry: Any) -> None:
    shown = _shown(read, registry, RAM + "enabled = false\nlimit.rate = 3\n" + RAM)
    assert [key for key in shown if key.startswith("tier[0]")] == ["tier[0].enabled"]
    assert shown["tier[0].enabled"] == ("false", "ziggurat.toml:4")
    assert shown["tier[1].name"] == ("ram", "ziggurat.toml:7")


def test_show_masks_secrets(read: Read, registry: Any) -> None:
    text = (
        ARCHIVE
        + """
    options.secret = { env = "SECRET" }
    options.tokens = [{ env = "TOKEN" }]
    options.endpoint_url = "https://user:hunter2@example.org/x"
    options.hosts = ["ftp://hunter2@h"]
    options.labels = { a = "b", c = { env = "LABEL" } }
    """
    )
    shown = _shown(read, registry, text, SECRET="sesame", TOKEN="swordfish", LABEL="live")
    assert shown["tier[0].options.secret"] == ("***", "environment variable SECRET")
    assert shown["tier[0].options.tokens"][0] == "***"
    assert shown["tier[0].options.endpoint_url"] == ("https://***@example.org/x", "ziggurat.toml:9")
    assert shown["tier[0].options.labels"] == ("{a = b, c = live}", "ziggurat.toml:11")
    assert not any(word in str(shown) for word in ("sesame", "swordfish", "hunter2"))
    assert _shown(read, registry, ARCHIVE)["tier[0].options.secret"] == ("", "default")


def test_show_of_a_mapping_and_of_a_wrong_file(read: Read, registry: Any, home: Any) -> None:
    (first, *_) = show(
        {"store": {"path": "x"}, "tier": [{"name": "a", "backend": "memory"}]}, registry=registry
    )
    assert first.origin == "mapping"
    with pytest.raises(ConfigError):
        show({"tier": []}, registry=registry)
