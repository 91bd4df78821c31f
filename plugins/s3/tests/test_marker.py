"""Who a bucket and prefix are, and what happens when they are not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.servers.s3 import S3Server

from ziggurat.content import Cid
from ziggurat.errors import TierDenied, TierUnavailable
from ziggurat_s3 import S3

Make = Callable[..., S3]
KEY = Cid.of(b"held").key
ABSENT = Cid.of(b"absent").key


def test_a_claim_makes_the_medium_and_a_look_does_not(make: Make, s3_server: S3Server) -> None:
    s3 = make(s3_server, prefix="ipfs")
    bucket = s3._bucket.name
    assert s3.identify(claim=False) is None
    assert s3_server.keys(bucket) == []
    made = s3.identify(claim=True)
    assert made is not None
    assert made.catalogs == ("catalog-1",)
    assert s3_server.keys(bucket) == ["ipfs/.ziggurat/marker.json"]
    marker = json.loads(s3_server.read(bucket, "ipfs/.ziggurat/marker.json"))
    assert marker == {"format": 1, "id": made.id, "owner": "catalog-1", "layout": "{key}"}
    assert s3.identify(claim=False) == made == s3.identify(claim=True)
    s3.put(KEY, b"x", None)
    assert list(s3.scan()) == [KEY]  # the marker is outside the key space
    assert s3_server.read(bucket, f"ipfs/{KEY}") == b"x"


def test_further_catalogs_leave_markers_beside_the_owners(make: Make, s3_server: S3Server) -> None:
    owner = make(s3_server, catalog="zz-owner")
    bucket = owner._bucket.name
    first = owner.identify(claim=True)
    assert first is not None
    second = make(s3_server, bucket=bucket, catalog="second/../ü%41 x")
    assert second.identify(claim=False) == first
    claimed = second.identify(claim=True)
    assert claimed is not None
    assert (claimed.id, claimed.catalogs) == (first.id, ("zz-owner", "second/../ü%41 x"))
    assert owner.identify(claim=False) == claimed == second.identify(claim=True)


def test_without_a_catalog_nobody_owns_the_medium(make: Make, minio: S3Server) -> None:
    nobody = make(minio, catalog="")
    nobody.put(KEY, b"x", None)
    made = nobody.identify(claim=True)
    assert made is not None
    assert made.catalogs == ()
    later = make(minio, bucket=nobody._bucket.name, catalog="later").identify(claim=True)
    assert later is not None
    assert (later.id, later.catalogs) == (made.id, ("later",))


def test_many_claim_at_once_and_agree(make: Make, s3_server: S3Server) -> None:
    bucket = s3_server.make_bucket()
    several = [make(s3_server, bucket=bucket, catalog=f"c{n}") for n in range(8)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda s3: s3.identify(claim=True), several))
    assert len({medium.id for medium in found if medium}) == 1
    last = several[0].identify(claim=False)
    assert last is not None
    assert sorted(last.catalogs) == sorted(f"c{n}" for n in range(8))


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        (b'{"format": 2, "id": "x", "owner": "o", "layout": "{key}"}', "upgrade"),
        (b"", "damaged"),
        (b"[]", "damaged"),
        (b'{"format": 1, "id": "", "owner": "", "layout": "{key}"}', "damaged"),
        (b'{"format": 1, "id": 5, "owner": "", "layout": "{key}"}', "damaged"),
        (b'{"format": 1, "id": "x", "owner": "", "layout": 5}', "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"[" * 5000, "damaged"),
    ],
)
def test_a_marker_that_is_not_ours_is_refused(make: Make, versitygw: S3Server, text: bytes, fix: str) -> None:
    s3 = make(versitygw)
    versitygw.client.put_object(Bucket=s3._bucket.name, Key=".ziggurat/marker.json", Body=text)
    for call in (
        lambda: s3.identify(claim=False),
        lambda: s3.identify(claim=True),
        lambda: s3.put(KEY, b"x", None),
    ):
        with pytest.raises(TierUnavailable, match=fix) as caught:
            call()
        assert s3._bucket.name in str(caught.value)
    assert versitygw.keys(s3._bucket.name) == [".ziggurat/marker.json"]


def test_a_medium_keeps_its_layout(make: Make, minio: S3Server) -> None:
    spread = make(minio, layout="spread")
    spread.put(KEY, b"x", None)
    plain = make(minio, bucket=spread._bucket.name)
    for call in (lambda: plain.identify(claim=False), lambda: plain.put(KEY, b"x", None)):
        with pytest.raises(TierUnavailable, match=r'"\{1\}/\{2\}/\{key\}".*set layout'):
            call()


def every_call(s3: S3) -> list[Callable[[], object]]:
    return [
        lambda: s3.get(ABSENT, None),
        lambda: s3.has(ABSENT),
        lambda: s3.stat(ABSENT),
        lambda: s3.evict(ABSENT),
        lambda: s3.put(KEY, b"x", None),
        lambda: s3.put(KEY, bytes(20 << 20), None),
        lambda: list(s3.scan()),
        lambda: s3.identify(claim=True),
        lambda: s3.identify(claim=False),
    ]


def test_a_missing_bucket_is_not_an_empty_one(make: Make, s3_server: S3Server) -> None:
    s3 = make(s3_server, bucket="no-such-bucket")
    for call in every_call(s3):
        with pytest.raises(TierUnavailable, match=r"no bucket 'no-such-bucket'.*create_bucket = true"):
            call()


def test_a_bucket_is_made_when_that_is_wanted_and_never_again(make: Make, s3_server: S3Server) -> None:
    bucket = "made-by-the-tier"
    s3 = make(s3_server, bucket=bucket, create_bucket=True)
    assert s3.get(ABSENT, None) is None
    assert not s3.has(ABSENT)
    assert s3.stat(ABSENT) is None
    assert not s3.evict(ABSENT)
    assert list(s3.scan()) == []
    assert s3.identify(claim=False) is None
    with pytest.raises(s3_server.client.exceptions.ClientError):
        s3_server.client.head_bucket(Bucket=bucket)
    s3.put(KEY, b"x", None)
    assert s3.get(KEY, None) == b"x"
    for name in s3_server.keys(bucket):
        s3_server.client.delete_object(Bucket=bucket, Key=name)
    s3_server.client.delete_bucket(Bucket=bucket)
    for call in every_call(s3):
        with pytest.raises(TierUnavailable, match="no bucket"):
            call()


def test_a_source_never_makes_a_bucket(make: Make, minio: S3Server) -> None:
    s3 = make(minio, bucket="no-such-bucket", create_bucket=True, role="source")
    with pytest.raises(TierUnavailable, match="no bucket"):
        s3.get(ABSENT, None)


def test_a_medium_that_was_replaced_is_refused(make: Make, minio: S3Server) -> None:
    s3 = make(minio)
    s3.put(KEY, b"x", None)
    bucket = s3._bucket.name
    minio.client.delete_object(Bucket=bucket, Key=".ziggurat/marker.json")
    assert s3.identify(claim=False) is None
    with pytest.raises(TierUnavailable, match="is gone"):
        s3.identify(claim=True)
    make(minio, bucket=bucket).identify(claim=True)
    for claim in (False, True):
        with pytest.raises(TierUnavailable, match="another medium"):
            s3.identify(claim=claim)


def test_object_lock_is_named_and_nothing_is_deleted(make: Make, minio: S3Server) -> None:
    client, bucket = minio.client, "locked-bucket"
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    s3 = make(minio, bucket=bucket)
    held, kept, free = (Cid.of(data).key for data in (b"1", b"2", b"3"))
    for key in (held, kept, free):
        s3.put(key, b"x", None)
    client.put_object_legal_hold(Bucket=bucket, Key=held, LegalHold={"Status": "ON"})
    until = {"Mode": "GOVERNANCE", "RetainUntilDate": "2099-01-01T00:00:00Z"}
    client.put_object_retention(Bucket=bucket, Key=kept, Retention=until)
    with pytest.raises(TierDenied, match="legal hold"):
        s3.evict(held)
    with pytest.raises(TierDenied, match="governance retention until 2099-01-01"):
        s3.evict(kept)
    gone = s3.evict(free)  # a bucket with locks keeps versions
    assert gone.had
    assert "older one stays" in gone.kept
    assert [s3.has(key) for key in (held, kept, free)] == [True, True, False]
    client.put_object_legal_hold(Bucket=bucket, Key=held, LegalHold={"Status": "OFF"})
    assert s3.evict(held)


def test_what_anybody_may_read_needs_no_key_and_the_rest_is_denied(make: Make, minio: S3Server) -> None:
    s3 = make(minio)
    s3.put(KEY, b"public", None)
    bucket = s3._bucket.name
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": ["*"]},
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{bucket}/*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    minio.client.put_bucket_policy(Bucket=bucket, Policy=policy)
    nobody = {"access_key_id": "", "secret_access_key": "", "anonymous": True}
    public = make(minio, bucket=bucket, role="source", **nobody)
    assert public.get(KEY, None) == b"public"
    assert public.has(KEY)
    stat = public.stat(KEY)
    assert stat is not None
    assert stat.size == 6
    assert public.get(ABSENT, None) is None  # this make says so to anybody
    for call in (lambda: public.evict(KEY), lambda: list(public.scan())):
        with pytest.raises(TierDenied, match="s3:ListBucket"):
            call()
    assert s3.has(KEY)
