"""Every message, with its line, its path and its proposal."""
# ruff: noqa: E501 - a message is easier to compare on one line

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ziggurat.config import load
from ziggurat.errors import ConfigError
from ziggurat.plugin.registry import Registry

RAM = '[[tier]]\nname = "ram"\nbackend = "memory"\n'
DISK = '[[tier]]\nname = "disk"\nbackend = "disk"\nrole = "store"\noptions.path = "blobs"\n'
S3 = '[[tier]]\nname = "s3"\nbackend = "s3"\nrole = "store"\noptions.bucket = "vault"\n'
SWARM = '[[tier]]\nname = "swarm"\nbackend = "swarm"\nrole = "store"\n'

CASES = [
    # keys
    (RAM + "[stor]", "4: stor: unknown key; did you mean 'store'?"),
    ("policy = 1\n" + RAM, "1: policy: unknown key; known here: store, tier"),
    ("[store]\nmin_copie = 1\n" + RAM, "2: store.min_copie: unknown key; did you mean 'min_copies'?"),
    (RAM + "promote_after = 1", "4: tier[0].promote_after: unknown key; known here: name, backend,"),
    (RAM + "attempts = 1", "4: tier[0].attempts: unknown key; it belongs in [tier.retry]"),
    (
        DISK + 'path = "x"',
        "6: tier[0].path: unknown key; it is an option of the backend: write it in [tier.options]",
    ),
    (RAM + "[tier.retry]\nattemps = 1", "5: tier[0].retry.attemps: unknown key; did you mean 'attempts'?"),
    (RAM + "[tier.limit]\nburst = 1", "5: tier[0].limit.burst: unknown key; known here: concurrency, rate"),
    (RAM + "[tier.timeout]\nidl = 1", "5: tier[0].timeout.idl: unknown key; did you mean 'idle'?"),
    (
        RAM + "[tier.breaker]\nfailure = 1",
        "5: tier[0].breaker.failure: unknown key; did you mean 'failures'?",
    ),
    (RAM + RAM.replace("ram", "b") + "enabled = false\nx-y = 1", "8: tier[1].x-y: unknown key; known here:"),
    (RAM + RAM + "enabled = false\nretry.attempts = 0", "8: tier[1].retry.attempts: must be at least 1"),
    (RAM + RAM + "enabled = false\noptions = 1", "8: tier[1].options: expected a table, got an integer"),
    (RAM + "options.pth = 1", "4: tier[0].options.pth: unknown key; nothing is known here"),
    # shapes
    ("", "1: tier: missing; the tiers, hottest first"),
    ("tier = []", "1: tier: there is no tier, and a stack needs one; `ziggurat config init`"),
    (RAM + "enabled = false", "1: tier: every tier is switched off, and a stack needs one"),
    ("[tier]\nname = 'x'", "1: tier: expected an array of tables; write [[tier]]"),
    ("tier = 3", "1: tier: expected an array of tables"),
    ("tier = [3]", "1: tier[0]: expected a table, got an integer"),
    ("store = []\n" + RAM, "1: store: expected a table, got an array"),
    (RAM + "retry = 3", "4: tier[0].retry: expected a table, got an integer"),
    (RAM + "options = 'x'", "4: tier[0].options: expected a table, got text"),
    # values
    ("[[tier]]\nbackend = 'memory'", "1: tier[0].name: missing; the tier's name"),
    ("[[tier]]\nname = 'x'", "1: tier[0].backend: missing; what keeps the bytes"),
    ("[[tier]]\nname = 3\nbackend = 'memory'", "2: tier[0].name: expected text, got an integer"),
    (RAM.replace("ram", "../x"), "2: tier[0].name: a tier's name is up to 64 letters"),
    (RAM.replace("ram", ""), "2: tier[0].name: a tier's name is up to 64 letters"),
    (RAM + RAM, "5: tier[1].name: the name 'ram' is taken by the tier at ziggurat.toml:2; rename one"),
    (RAM + "probe = 1", "4: tier[0].probe: expected true or false, got an integer"),
    (RAM + "capacity = true", '4: tier[0].capacity: expected a size such as "100 MB", got true or false'),
    (RAM + "capacity = 1.5", '4: tier[0].capacity: expected a size such as "100 MB", got a number'),
    (RAM + 'capacity = "1 mb"', "4: tier[0].capacity: '1 mb' has the unknown unit 'mb'; did you mean 'MB'?"),
    (RAM + "capacity = 0", "4: tier[0].capacity: must be more than 0"),
    (RAM + "capacity = 1979-05-27", '4: tier[0].capacity: expected a size such as "100 MB", got a date'),
    (RAM + "role = 'cash'", "4: tier[0].role: 'cash' is unknown; did you mean 'cache'?"),
    ("[store]\nprofile = 'x'\n" + RAM, "2: store.profile: 'x' is unknown; known here: unixfs-v1-2025"),
    ("[store]\nmin_copies = 0\n" + RAM, "2: store.min_copies: must be at least 1"),
    ("[store]\npath = ''\n" + RAM, "2: store.path: an empty path"),
    ("[store]\npath = '~nobody-here/x'\n" + RAM, "2: store.path: the home folder that ~ names is not known"),
    (RAM + "limit.rate = nan", "4: tier[0].limit.rate: must be more than 0"),
    (RAM + "limit.concurrency = 0", "4: tier[0].limit.concurrency: must be at least 1"),
    (RAM + "timeout.idle = 0", "4: tier[0].timeout.idle: must be more than 0"),
    (
        RAM + "timeout.idle = '5 m'",
        "4: tier[0].timeout.idle: '5 m' has the unknown unit 'm'; did you mean 'ms' or",
    ),
    (RAM + "retry.max_wait = inf", "4: tier[0].retry.max_wait: a duration is a finite number of seconds"),
    (RAM + "breaker.failures = -1", "4: tier[0].breaker.failures: must be at least 0"),
    # references
    (
        RAM + 'capacity = { env = "NOT_SET" }',
        "4: tier[0].capacity: the environment variable NOT_SET is not set; set it, or give a default",
    ),
    (
        RAM + "capacity = {}",
        '4: tier[0].capacity: expected a size such as "100 MB", or { env = "NAME" }, got a table',
    ),
    (
        RAM + 'capacity = { env = "X", defualt = "1" }',
        "tier[0].capacity.defualt: unknown key; did you mean 'default'?",
    ),
    (RAM + "capacity = { env = 3 }", "4: tier[0].capacity.env: expected text, got an integer"),
    (
        RAM + 'capacity = { env = "X", default = 1 }',
        "4: tier[0].capacity.default: expected text, got an integer",
    ),
    (
        RAM + 'probe = { env = "X" }',
        "4: tier[0].probe: expected true or false; only text can come from the environment",
    ),
    (
        RAM + 'capacity = { env = "X", default = "1 XB" }',
        "4: tier[0].capacity: '1 XB' has the unknown unit 'XB'",
    ),
    # roles
    (
        DISK.replace('role = "store"\n', ""),
        '1: tier[0].role: missing; write role = "store", "cache" or "source"',
    ),
    (
        RAM + "role = 'store'",
        "4: tier[0].role: what this backend keeps is gone with the process, so it cannot be a store; "
        'write role = "cache"',
    ),
    (
        RAM + "role = 'source'",
        "4: tier[0].role: what this backend keeps is gone with the process, so it cannot be a s",
    ),
    (
        SWARM.replace("store", "cache"),
        "4: tier[0].role: a cache keeps single blocks, and this backend keeps whole DAGs",
    ),
    (
        SWARM.replace('"swarm"\nrole', '"gateway"\nrole'),
        "4: tier[0].role: this backend can only be read, so it cannot be a",
    ),
    (
        SWARM.replace('"swarm"\nrole', '"flaky"\nrole'),
        "4: tier[0].role: what this backend keeps may not survive a power",
    ),
    (
        S3.replace("store", "cache"),
        '1: tier[0].capacity: missing; a cache on this backend states its size, such as "1 GB"',
    ),
    (
        '[[tier]]\nname = "g"\nbackend = "gateway"\ncapacity = "1 GB"',
        "4: tier[0].capacity: a source is never written, so it has no capacity; remove it",
    ),
    (
        '[[tier]]\nname = "g"\nbackend = "gateway"\npublish = true',
        "4: tier[0].publish: a source is never written, so it publishes nothing; remove it",
    ),
    (
        '[[tier]]\nname = "n"\nbackend = "noticeboard"\nrole = "cache"',
        "1: tier[0].publish: missing; this cache would publish what is read; publish = true allows it",
    ),
    (RAM + "probe = false", "4: tier[0].probe: only stores are catalogued, and this is a cache; remove it"),
    # copies
    (
        "[store]\nmin_copies = 2\n" + DISK,
        "2: store.min_copies: is 2, but only 1 store tier (disk) can be written, so no put could ever finish; "
        "add a store tier or lower min_copies",
    ),
    (
        "[store]\nmin_copies = 3\n" + DISK + S3,
        "2: store.min_copies: is 3, but only 2 store tiers (disk and s3) can",
    ),
    (
        SWARM,
        "1: store.min_copies: is 1, but no store tier can be written, so no put could ever finish; swarm would publish "
        'what is put: write publish = true there, or role = "source" to only read it',
    ),
    # backends
    (
        RAM.replace("memory", "memry"),
        "3: tier[0].backend: no installed distribution offers the backend 'memry'; did you",
    ),
    (
        RAM.replace("memory", "storacha"),
        "pip install ziggurat-storacha",
    ),
    # options
    (
        DISK.replace("options.path", "options.pth"),
        "5: tier[0].options.pth: unknown key; did you mean 'path'?",
    ),
    (DISK.replace('options.path = "blobs"\n', ""), "1: tier[0].options.path: missing; folder of the blobs"),
    (DISK + "options.small = 'x'", "6: tier[0].options.small: 'x' is not a size"),
    (DISK + "options.small = '1 B'", "6: tier[0].options.small: 'small' must be >= 512: 1"),
    (DISK.replace('"blobs"', "3"), "5: tier[0].options.path: expected a path as text, got an integer"),
    (S3.replace('"vault"', "3"), "5: tier[0].options.bucket: expected text, got an integer"),
    (S3 + "options.prefix = '/x'", "6: tier[0].options.prefix: prefix begins with a slash; remove it"),
    (S3 + "options.style = 'pth'", "6: tier[0].options.style: 'pth' is unknown; did you mean 'path'?"),
    (S3 + "options.verify = 'yes'", "6: tier[0].options.verify: expected true or false, got text"),
    (S3 + "options.weight = 'x'", "6: tier[0].options.weight: expected a number, got text"),
    (S3 + "options.count = 1.5", "6: tier[0].options.count: expected an integer, got a number"),
    (S3 + "options.hosts = 'x'", "6: tier[0].options.hosts: expected an array, got text"),
    (S3 + "options.hosts = [\n'x',\n3]", "8: tier[0].options.hosts[1]: expected text, got an integer"),
    (S3 + "options.labels = 'x'", "6: tier[0].options.labels: expected a table, got text"),
    (S3 + "options.labels.'a b' = 3", "6: tier[0].options.labels.'a b': expected text, got an integer"),
    (
        S3 + "options.wait = '1 y'",
        "6: tier[0].options.wait: '1 y' has the unknown unit 'y'; units are us, ms, s, min, h",
    ),
    (
        S3 + "options.key_id = 'far too long'",
        "6: tier[0].options.key_id: Length of 'key_id' must be <= 8: 12",
    ),
    (
        S3.replace("vault", "VAULT") + "options.key_id = 'k'",
        "5: tier[0].options: bucket 'VAULT' and key 'k' do not fit together",
    ),
]


@pytest.mark.parametrize(("text", "message"), CASES, ids=[message[:60] for _, message in CASES])
def test_messages(problems: Callable[..., list[str]], text: str, message: str) -> None:
    found = problems(text)
    assert len(found) == 1, found
    assert message in found[0]
    if message[0].isdigit():
        assert found[0].startswith(message)


@pytest.mark.parametrize(
    "line",
    [
        'options.secret = "hunter2"',
        'options.secret = { env = "X", default = "hunter2" }',
        'options.secret = ["hunter2"]',
        "options.secret = 1234567",
        'options.tokens = ["hunter2"]',
        'options.tokens = [{ env = "SET" }, "hunter2"]',
        'options.tokens = { env = "X", default = "hunter2" }',
    ],
)
def test_a_literal_secret_is_refused_and_not_repeated(problems: Callable[..., list[str]], line: str) -> None:
    (found,) = problems(S3 + line, SET="x")
    assert found.startswith("6: tier[0].options.")
    assert 'write { env = "NAME" } and set that variable' in found
    assert "hunter2" not in found
    assert "1234567" not in found


@pytest.mark.parametrize(
    "line",
    [
        'options.secret = { env = "PASSWORD" }',  # its validator repeats the value
        'options.key_id = { env = "PASSWORD" }',
        'options.prefix = { env = "PASSWORD" }',
        'options.small = { env = "PASSWORD" }',
        'options.style = { env = "PASSWORD" }',
        'options.wait = { env = "PASSWORD" }',
        'capacity = { env = "PASSWORD" }',
        'role = { env = "PASSWORD" }',
        'secrt = "/hunter2/hunter2"',
        'options.secrt = "/hunter2/hunter2"',
    ],
)
def test_what_comes_from_the_environment_is_never_repeated(
    problems: Callable[..., list[str]], read: Callable[..., Any], line: str
) -> None:
    text = (S3.replace('role = "store"\n', "") if line.startswith("role") else S3) + line
    found = problems(text, PASSWORD="/hunter2/hunter2")
    assert found
    with pytest.raises(ConfigError) as caught:
        read(text, PASSWORD="/hunter2/hunter2")
    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in f"{error!r} {error}"
        error = error.__cause__ or error.__context__


def test_all_problems_in_one_report_in_the_order_of_the_file(problems: Callable[..., list[str]]) -> None:
    found = problems(
        '[store]\nmin_copies = "2"\nx = 1\n'
        + RAM
        + "probe = 3\ncapacity = 'x'\n"
        + S3.replace("bucket", "buckett")
        + "options.weight = true\noptions.style = 'x'\n"
        + RAM
        + SWARM.replace('"swarm"\nrole', '"nowhere"\nrole')
        + "[extra]\n"
    )
    assert [int(problem.partition(":")[0]) for problem in found] == [2, 3, 7, 8, 13, 14, 15, 17, 21, 23]


def test_mappings_have_paths_without_lines(home: Path, registry: Registry) -> None:
    wrong: dict[Any, Any] = {"tier": [{"name": "a", "backend": "memory", 3: 4, "retry": {"attempts": None}}]}
    with pytest.raises(ConfigError) as caught:
        load(wrong, registry=registry, environ={})
    assert caught.value.problems == (
        "tier[0].3: unknown key; known here: name, backend, role, capacity, policy, probe, publish, trusted, "
        "enabled, options, retry, limit, timeout, breaker, cost",
        "tier[0].retry.attempts: expected an integer, got a NoneType",
    )


def test_a_mapping_with_a_store_names_its_folder(home: Path, registry: Registry) -> None:
    tier = {"name": "d", "backend": "disk", "role": "store", "options": {"path": "x"}}
    for role in ("store", "cache"):
        with pytest.raises(ConfigError, match=r"store\.path: missing; a mapping has no file"):
            load({"tier": [{**tier, "role": role}]}, registry=registry, environ={})


def test_a_store_path_that_leads_nowhere(problems: Callable[..., list[str]]) -> None:
    (found,) = problems(S3, ZIGGURAT_STORE_PATH="~nobody-here/x")
    assert found.startswith("1: store.path: the value of ZIGGURAT_STORE_PATH cannot be used: the home folder")


def test_a_mapping_without_end(home: Path, registry: Registry) -> None:
    endless: dict[str, Any] = {"name": "a", "backend": "s3", "role": "source"}
    endless["options"] = {"bucket": "b", "prefix": endless}
    with pytest.raises(ConfigError, match="nested too deeply"):
        load({"tier": [endless]}, registry=registry, environ={})
    ram = {"name": "ram", "backend": "memory"}
    assert load({"tier": [ram, {**endless, "enabled": False}]}, registry=registry, environ={}).path


def test_a_short_value_hides_only_itself(problems: Callable[..., list[str]]) -> None:
    text = S3.replace("vault", "VAULT") + 'options.key_id = { env = "K" }'
    assert problems(text, K="k") == ["5: tier[0].options: bucket 'VAULT' and key '***' do not fit together"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[store\n", "ziggurat.toml:1: not TOML, column 7: "),
        (b"a = 1\n\nb = ", "ziggurat.toml:3: not TOML: invalid value"),
        (b"a = 1\na = 2", "ziggurat.toml:2: not TOML: cannot overwrite a value"),
        (b'a = 1\nb = "\xff"', "ziggurat.toml:2: not UTF-8; save the file as UTF-8"),
        (b"a = " + b"[" * 5000, "ziggurat.toml: nested too deeply"),
        (b"a = 1\nb = 1979-13-01", "ziggurat.toml:2: not TOML"),
        (b"a = " + b"1" * 5000, "ziggurat.toml: not TOML: "),
        (b'a = """x\n\n', "ziggurat.toml:"),
    ],
)
def test_text_that_is_not_toml(home: Path, registry: Registry, text: bytes, message: str) -> None:
    Path("ziggurat.toml").write_bytes(text)
    with pytest.raises(ConfigError) as caught:
        load("ziggurat.toml", registry=registry, environ={})
    assert str(caught.value).startswith(message)
    assert caught.value.problems == (str(caught.value),)
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_is_no_mistake(read: Callable[..., Any]) -> None:
    assert read("\ufeff" + RAM).tiers


def test_files_that_cannot_be_read(home: Path, registry: Registry) -> None:
    with pytest.raises(ConfigError, match=r"absent.toml: no such file; `ziggurat config init` writes one"):
        load("absent.toml", registry=registry, environ={})
    with pytest.raises(ConfigError, match=r"x.toml: no such file \(named by ZIGGURAT_CONFIG\)"):
        load(registry=registry, environ={"ZIGGURAT_CONFIG": "x.toml"})
    Path("folder.toml").mkdir()
    for path in ("folder.toml", "a\0b", "~nobody-here/x", ""):
        with pytest.raises(ConfigError) as caught:
            load(path, registry=registry, environ={})
        assert caught.value.problems
    Path("loop.toml").symlink_to("loop.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load("loop.toml", registry=registry, environ={})
    if os.geteuid():
        Path("closed.toml").touch(mode=0)
        with pytest.raises(ConfigError, match="cannot be read: permission denied"):
            load("closed.toml", registry=registry, environ={})
