"""Names of objects: every key has one, every name of ours gives its key back, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.content import DAG_CBOR, DAG_PB, RAW, Cid
from ziggurat_s3 import S3Options
from ziggurat_s3._layout import LAYOUTS, Layout

LITERAL = st.text("abcXYZ019-_=.()!*'@:+,", max_size=4)
FIELD = st.sampled_from(["{1}", "{2}", "{3}", "{9}"])


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    prefix = draw(st.sampled_from(["", "ipfs", "ipfs/", "a/b/c", "x=1/y+z"]))
    if draw(st.booleans()):
        return Layout(prefix, draw(st.sampled_from(sorted(LAYOUTS))))
    parts = draw(st.lists(st.one_of(LITERAL, FIELD, st.just("/")), max_size=6))
    at = draw(st.integers(0, len(parts)))
    template = "".join([*parts[:at], "{key}", *parts[at:]])
    try:
        return Layout(prefix, template)
    except ValueError:
        return Layout(prefix, "spread")


@st.composite
def keys(draw: st.DrawFn) -> str:
    codec = draw(st.sampled_from([RAW, DAG_PB, DAG_CBOR]))
    data = draw(st.binary(max_size=8))
    cid = Cid.of(data, codec)
    kinds = [cid.key] if codec != DAG_PB else [cid.key, cid.nodes_key, cid.block_key]
    return str(draw(st.sampled_from(kinds)))


@given(layouts(), st.lists(keys(), unique=True, max_size=6))
def test_a_name_gives_its_key_back_and_no_two_keys_share_one(layout: Layout, some: list[str]) -> None:
    names = [layout.name(key) for key in some]
    assert [layout.key(name) for name in names] == some
    assert len(set(names)) == len(some)
    assert all(name.startswith(layout.prefix) and "//" not in name for name in names)


@given(layouts(), keys(), st.data())
def test_a_name_that_is_not_ours_gives_nothing(layout: Layout, key: str, data: st.DataObject) -> None:
    name = layout.name(key)
    at = data.draw(st.integers(0, len(name) - 1))
    other = name[:at] + data.draw(st.sampled_from(["", "x", "/", "é", name[at] * 2])) + name[at + 1 :]
    if other != name:
        found = layout.key(other)
        assert found is None or layout.name(found) == other
    assert layout.key(f"{layout.prefix}.ziggurat/marker.json") is None
    assert layout.key("") is None


def test_the_spread_form_takes_its_folders_from_the_end() -> None:
    key = Cid.of(b"hello").key
    for each in (key, Cid.of(b"x", DAG_PB).nodes_key):
        end = each.partition(".")[0]
        assert Layout("ipfs", "spread").name(each) == f"ipfs/{end[-2:]}/{end[-4:-2]}/{each}"
    assert Layout("ipfs/", "plain").name(key) == f"ipfs/{key}"
    assert Layout("", "{1}.bin/{key}.data").name(key) == f"{key[-2:]}.bin/{key}.data"


NO_LAYOUTS = """
{1}/x  {key}{key}  {0}/{key}  {10}/{key}  {kind}/{key}  {key}/  a//{key}  /{key}  ../{key}  a/../{key}
.ziggurat/{key}  é/{key}  {key
"""


@pytest.mark.parametrize("layout", [*NO_LAYOUTS.split(), "", "a b/{key}", "x" * 600 + "{key}"])
def test_a_layout_that_cannot_be_read_back_is_refused(layout: str) -> None:
    with pytest.raises(ValueError, match="layout"):
        S3Options(bucket="bucket", layout=layout)


@pytest.mark.parametrize("prefix", ["/ipfs", "a//b", "..", "a b", "ü", "a/../b", "/"])
def test_a_prefix_that_some_service_reads_otherwise_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        S3Options(bucket="bucket", prefix=prefix)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bucket": "ab"}, "three characters"),
        ({"bucket": "a/b/c"}, "name of a bucket"),
        ({"bucket": "abc", "part_size": 1 << 20}, "part_size"),
        ({"bucket": "abc", "sse_kms_key_id": "k"}, "aws:kms"),
        ({"bucket": "abc", "storage_class": "GLACIER"}, "read at once"),
        ({"bucket": "abc", "checksum": "md5"}, "checksum"),
        (
            {"bucket": "abc", "server_side_encryption": "SSE-C"},
            r"\(SSE-C\) is not an option: let the service",
        ),
        ({"bucket": "abc", "abandoned_after": -1}, "abandoned_after"),
    ],
)
def test_other_options_are_checked(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        S3Options(**options)  # type: ignore[arg-type] # wrong on purpose
