"""What is said of a blob comes back, whatever characters it is said in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.servers.s3 import S3Server

from ziggurat.backend import Blob, Info
from ziggurat.content import Cid
from ziggurat.errors import Unsupported
from ziggurat_s3 import S3
from ziggurat_s3._info import from_headers, to_headers

TEXT = st.text(max_size=12)
PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
NAMES = st.one_of(st.from_regex(r"[a-z0-9-]{1,12}", fullmatch=True), TEXT)
KINDS = st.one_of(
    st.none(),
    st.sampled_from(["text/plain", "image/png", "text/html; charset=utf-8", "application/octet-stream"]),
    st.sampled_from(["binary/octet-stream", "", "not a type", "text/ü"]),
    TEXT,
)
INFOS = st.builds(
    Info,
    content_type=KINDS,
    tags=st.dictionaries(TEXT, TEXT, max_size=3),
    metadata=st.dictionaries(NAMES, st.one_of(PLAIN, TEXT), max_size=4),
)


@given(INFOS)
def test_headers_carry_any_text(info: Info) -> None:
    kind, metadata = to_headers(info)
    for text in (kind or "x/y", *metadata, *metadata.values()):
        assert text.isascii()
        assert text.isprintable()
        assert text == text.strip()
        assert "  " not in text
    # A service gives a type of its own for an object without one, and may change the case of names.
    back = from_headers(
        kind or "binary/octet-stream", {name.title(): value for name, value in metadata.items()}
    )
    assert back == (info if (info.content_type is not None or info.tags or info.metadata) else None)


@pytest.mark.parametrize("text", ["{", "[]", '"x"', '{"tags": 1, "metadata": {"a": 2}}', "[" * 9000])
def test_damaged_metadata_of_ours_is_no_error(text: str) -> None:
    assert from_headers("text/plain", {"ziggurat": text, "a": "b"}) == Info("text/plain", {}, {"a": "b"})


def test_more_than_a_service_keeps_is_refused_before_anything_is_sent(
    make: Callable[..., S3], minio: S3Server
) -> None:
    s3 = make(minio)
    key = Cid.of(b"x").key
    with pytest.raises(Unsupported, match="2048"):
        s3.put(key, b"x", Info(metadata={"a": "b" * 3000}))
    assert not s3.has(key)


def test_every_make_gives_back_what_was_said(make: Callable[..., S3], s3_server: S3Server) -> None:
    s3 = make(s3_server, part_size=5 << 20)
    key = Cid.of(b"said").key

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(INFOS)
    def said(info: Info) -> None:
        s3.put(key, b"data", info)
        stat = s3.stat(key)
        assert stat is not None
        assert (stat.size, stat.stored) == (4, 4)
        assert stat.info == (info if (info.content_type is not None or info.tags or info.metadata) else None)

    said()
    info = Info("text/x-ü", {"tag": "wert ö"}, {"Name": "a  b", "plain": "x y"})
    s3.put(key, Blob.of(bytes(11 << 20)), info)
    stat = s3.stat(key)
    assert stat is not None
    assert (stat.size, stat.info) == (11 << 20, info)


def test_what_another_tool_said_is_told_too(make: Callable[..., S3], s3_server: S3Server) -> None:
    s3 = make(s3_server, prefix="ipfs")
    key, bucket = Cid.of(b"other").key, s3_server.make_bucket()
    other = make(s3_server, bucket=bucket)
    s3_server.client.put_object(
        Bucket=bucket, Key=key, Body=b"other", ContentType="image/png", Metadata={"by": "another tool"}
    )
    stat = other.stat(key)
    assert stat is not None
    assert stat.info == Info("image/png", {}, {"by": "another tool"})
    assert other.get(key, None) == b"other"
    assert list(other.scan()) == [key]
    s3.put(key, b"ours", Info("image/gif", {}, {"by": "us"}))
    found = s3_server.client.get_object(Bucket=s3._bucket.name, Key=f"ipfs/{key}")
    assert (found["ContentType"], found["Metadata"], found["Body"].read()) == (
        "image/gif",
        {"by": "us"},
        b"ours",
    )
