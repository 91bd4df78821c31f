"""Values of the IPLD data model, and codecs under test, for several modules of tests."""

from __future__ import annotations

from hypothesis import strategies as st

from ziggurat.content import DAG_CBOR, DAG_JSON, DAG_PB, RAW, Cid, Value

cids = st.builds(
    Cid.of,
    st.binary(max_size=20),
    st.sampled_from([RAW, DAG_PB, DAG_CBOR, DAG_JSON]),
    st.sampled_from(["sha2-256", "sha2-512", "identity"]),
) | st.builds(lambda block: Cid.of(block, DAG_PB, version=0), st.binary(max_size=8))

_texts = st.text(st.characters(codec="utf-8"), max_size=12)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 64), (1 << 64) - 1),
    _texts,
    st.binary(max_size=30),
    cids,
)


def values(scalars: st.SearchStrategy[Value] = _scalars) -> st.SearchStrategy[Value]:
    """Values that both codecs can say."""
    # A map whose first key is a slash is DAG-JSON's own.
    keys = _texts.filter(lambda text: text != "/")
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=5),
        max_leaves=15,
    )


with_floats = values(_scalars | st.floats(allow_nan=False, allow_infinity=False))


def linked(value: object) -> list[Cid]:
    """The links of a value, in its order."""
    if isinstance(value, Cid):
        return [value]
    if isinstance(value, dict):
        return [cid for item in value.values() for cid in linked(item)]
    return [cid for item in value for cid in linked(item)] if isinstance(value, list) else []


PUT_BY_KUBO: list[tuple[Value, str, str]] = [
    (
        None,
        "bafyreifqwkmiw256ojf2zws6tzjeonw6bpd5vza4i22ccpcq4hjv2ts7cm",
        "baguqeeraoqru5gfp45ey7no26hzwvqwxrlgdhfde7fihao4magmjf6mcxefq",
    ),
    (
        [],
        "bafyreidwx2fvfdiaox32v2mnn6sxu3j4qoxeqcuenhtgrv5qv6litfnmoe",
        "baguqeeraj5j43immfovaya2uxnpzupwl4xwrfk2nryi3vbz4f4irmeqcxfcq",
    ),
    (
        {"b": 1, "aa": [True, "é\u2028\b<"], "": -1},
        "bafyreibv7o7jttzdljyprtkcucc2kryb5dr7qnq2aqtoeozpjuhapdxbey",
        "baguqeeraucq6b7y2ejtizf3szi4yb2pfjgi2esfuucp4nc5n62gplfrgwozq",
    ),
    (
        {
            "link": Cid("bafkreie7selb6q2dhze2nxtnw2anph3acwps4swjc4tcdijiizbicwcebm"),
            "v0": Cid("QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n"),
            "bytes": b"\x00\xff",
        },
        "bafyreibtt3xsvyqgsd3pv36iviiqegk6mq2imopf4cwmzungvzvn5icpqy",
        "baguqeeramuw5nwea7zjxosurgsqr4u64azzuonadvpvjnrczcxdcwft7bsva",
    ),
    (
        [1 << 53, -(1 << 63), 23, 24, 255, 256, 65535, 65536, (1 << 63) - 1],
        "bafyreibrdwcouvpi5io6fnelhml2j7j7qef2vtwruu5nccb2pg4crrxjf4",
        "baguqeera4p62m5opzyxn7hhn3citgr2in3s65bqmyg7t43mcxda4qal7zpoq",
    ),
    (
        {"/": True, "+": 1},
        "bafyreifawhhg62riymdkakd22zpqycuelw6icnrm4o57efogbhoyotfn7e",
        "baguqeerazoeacay5rbfzd5wvt3bkwfpgmsuohzasfzd2aufvdslgey5tcf6q",
    ),
    (
        {"/": {"+": 1, "bytes": "AAE"}},
        "bafyreicywxk2ib67wiraphxelg75qqf4weofqxokb6lnzdllbu4zb7fxku",
        "baguqeerahrkyqjamiysbwtz3qci5n3rosfrfssz3zbaz6ifryicvr3xqmj3a",
    ),
]
"""Values, with the CIDs that `ipfs dag put` of Kubo 0.43 gave their dag-cbor and dag-json blocks."""
