"""The spellings of a connection: all of one meaning give one setting, and two that differ are refused."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat_s3 import S3Options
from ziggurat_s3._connection import ConnectionOptions
from ziggurat_s3._settings import Settings

WORD = st.text(st.characters(categories=["L", "N"], include_characters="-_/+="), min_size=1, max_size=20)
SPELLINGS = {
    "access_key_id": ("access_key_id", "aws_access_key_id", "accessKey"),
    "secret_access_key": ("secret_access_key", "aws_secret_access_key", "secretKey"),
    "session_token": ("session_token", "aws_session_token", "sessionToken"),
    "profile_name": ("profile_name", "profile"),
    "region_name": ("region_name", "region"),
    "endpoint_url": ("endpoint_url", "endpoint"),
}
IN_BOTO3 = {
    "access_key_id": "aws_access_key_id",
    "profile_name": "profile_name",
    "region_name": "region_name",
    "endpoint_url": "endpoint_url",
}


@st.composite
def spelled(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, str]]:
    """Options in any mixture of spellings, some of them repeated, and what they mean."""
    meant = {name: draw(WORD) for name in ("access_key_id", "secret_access_key", "session_token")}
    meant |= {name: draw(WORD) for name in ("profile_name", "region_name") if draw(st.booleans())}
    if draw(st.booleans()):
        meant["endpoint_url"] = draw(st.sampled_from(["http://host:9000", "https://s3.example.org/base"]))
    options: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in meant.items():
        ways = list(SPELLINGS[name]) + ([f"boto3.{IN_BOTO3[name]}"] if name in IN_BOTO3 else [])
        for way in draw(st.lists(st.sampled_from(ways), min_size=1, unique=True)):
            (extra if way.startswith("boto3.") else options)[way.removeprefix("boto3.")] = value
    if extra:
        options["boto3"] = extra
    return options, meant


@given(spelled())
def test_all_spellings_mean_the_same(case: tuple[dict[str, Any], dict[str, str]]) -> None:
    options, meant = case
    made = ConnectionOptions(**options)
    assert made.settings() == Settings(**meant)  # type: ignore[arg-type] # texts by name
    assert hash(made.settings()) == hash(Settings(**meant))  # type: ignore[arg-type] # the same


@pytest.mark.parametrize("way", [*SPELLINGS["secret_access_key"], *SPELLINGS["session_token"]])
def test_no_secret_is_shown(way: str) -> None:
    proxies = {"boto3": {"config": {"proxies": "hush-hush"}}}
    options: dict[str, Any] = {"access_key_id": "a", "secret_access_key": "hush-hush", **proxies}
    if way in SPELLINGS["session_token"]:
        options[way] = "hush-hush"
    else:
        options[way] = options.pop("secret_access_key")
    made = ConnectionOptions(**options)
    assert "hush" not in f"{made!r} {made.settings()!r} {made} {made.settings()}"
    with pytest.raises(ValueError, match="differ") as caught:
        ConnectionOptions(**{**options, "secretKey": "hush-1", "secret_access_key": "hush-2"})
    assert "hush" not in str(caught.value)


@given(spelled(), st.data())
def test_two_spellings_that_differ_are_refused_by_name(
    case: tuple[dict[str, Any], dict[str, str]], data: st.DataObject
) -> None:
    options, meant = case
    name = data.draw(st.sampled_from(sorted(meant)))
    way = data.draw(st.sampled_from(SPELLINGS[name]))
    others = [each for each in SPELLINGS[name] if each != way and each in options]
    if name in IN_BOTO3 and IN_BOTO3[name] in options.get("boto3", {}):
        others.append(f"boto3.{IN_BOTO3[name]}")
    if not others:
        return
    with pytest.raises(ValueError, match="mean the same and differ") as caught:
        ConnectionOptions(**{**options, way: "http://another"})
    assert way in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"access_key_id": "a"}, "come together"),
        ({"secretKey": "a"}, "come together"),
        ({"access_key_id": "a", "secret_access_key": "b", "anonymous": True}, "anonymous"),
        ({"boto3": {"aws_secret_access_key": "s"}}, "by reference"),
        ({"boto3": {"nonsense": 1}}, "nonsense"),
        ({"boto3": {"config": {"retries": {"max_attempts": 9}}}}, "tier.retry"),
        ({"endpoint_url": "ftp://host"}, "https://host:port"),
        ({"endpoint_url": "http://user:word@host"}, "no password"),
        ({"endpoint_url": "http://host:port"}, "port"),
        ({"endpoint_url": "http://host", "use_ssl": True}, "contradicts"),
        ({"use_ssl": True, "boto3": {"use_ssl": False}}, "use_ssl"),
    ],
)
def test_what_cannot_be_used_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        ConnectionOptions(**options)


def test_an_endpoint_without_a_scheme_takes_it_from_use_ssl() -> None:
    for use_ssl, scheme in ((None, "https"), (True, "https"), (False, "http")):
        made = ConnectionOptions(endpoint="host:9000", use_ssl=use_ssl)
        assert made.settings().endpoint_url == f"{scheme}://host:9000"


def test_the_settings_of_the_manual_can_be_used() -> None:
    """For services of one's own, for AWS, and for one more provider."""
    page = Path(__file__).resolve().parents[3] / "docs/how-to/keep-on-s3.md"
    blocks = re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    places = set()
    for block in blocks:
        tiers = tomllib.loads(block)["tier"]
        given = (tiers[-1] if isinstance(tiers, list) else tiers)["options"]
        plain: dict[str, Any] = {
            name: "secret" if isinstance(value, dict) else value for name, value in given.items()
        }
        places.add(S3Options(**plain).settings().endpoint_url.partition("://")[2].partition(":")[0])
    assert places == {"", "127.0.0.1", "ACCOUNT.r2.cloudflarestorage.com"}
