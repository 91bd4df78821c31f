"""How objects are sent, and by which roads: storage classes, encryption, TLS, processes."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.support.servers.s3 import S3Server
from tests.support.servers.wire import Relay

from ziggurat.backend import Context
from ziggurat.content import Cid
from ziggurat.errors import TierDenied, TierError, TierUnavailable
from ziggurat_s3 import S3, S3Options

Make = Callable[..., S3]
KEY, LARGE = Cid.of(b"small").key, Cid.of(b"large").key
PART = 5 << 20


def both_ways(s3: S3) -> None:
    """Small and large, through both libraries."""
    s3.put(KEY, b"small", None)
    s3.put(LARGE, bytes(2 * PART), None)
    assert s3.get(KEY, None) == b"small"
    assert s3.has(LARGE)
    stat = s3.stat(LARGE)
    assert stat is not None
    assert stat.size == 2 * PART
    assert set(s3.scan()) == {KEY, LARGE}
    assert s3.evict(KEY)


def test_a_storage_class_is_that_of_every_object(make: Make, minio: S3Server) -> None:
    s3 = make(minio, storage_class="REDUCED_REDUNDANCY", part_size=PART)
    both_ways(s3)
    s3.put(KEY, b"small", None)
    for key in (KEY, LARGE):
        head = minio.client.head_object(Bucket=s3._bucket.name, Key=key)
        assert head["StorageClass"] == "REDUCED_REDUNDANCY"
    with pytest.raises(TierError, match="InvalidStorageClass") as caught:
        make(minio, storage_class="NO_SUCH_CLASS").put(KEY, b"x", None)
    assert not caught.value.retryable


def test_encryption_that_a_service_cannot_do_is_an_error_and_nothing_is_kept(
    make: Make, minio: S3Server
) -> None:
    s3 = make(minio, server_side_encryption="aws:kms", part_size=PART)
    for key, data in ((KEY, b"small"), (LARGE, bytes(2 * PART))):
        with pytest.raises(TierError, match=s3._bucket.name):
            s3.put(key, data, None)
        assert not s3.has(key)
    assert minio.keys(s3._bucket.name) == []  # a marker neither: a bucket may refuse what is not encrypted
    assert minio.uploads(s3._bucket.name) == []


def test_we_may_pay_where_nobody_asks(make: Make, s3_server: S3Server) -> None:
    both_ways(make(s3_server, requester_pays=True, part_size=PART))


class TlsRelay(Relay):
    """A relay that speaks TLS with clients.

    Args:
        url: Of the server.
        chain: File with certificate and key.
    """

    def __init__(self, url: str, chain: Path) -> None:
        super().__init__(url)
        self.url = self.url.replace("http:", "https:")
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(chain)

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), self._tls.wrap_socket(client, server_side=True) as secured:
            super()._serve(secured)


def certificate(
    subject: str, key: ec.EllipticCurvePrivateKey, issuer: str, by: ec.EllipticCurvePrivateKey
) -> bytes:
    """A certificate for 127.0.0.1, or of an authority when it is its own issuer; PEM."""

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=subject == issuer, path_length=None), critical=True)
        .sign(by, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def test_tls_with_an_authority_of_ones_own(make: Make, versitygw: S3Server, tmp_path: Path) -> None:
    ours, theirs = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    private = theirs.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    authority, chain = tmp_path / "authority.pem", tmp_path / "chain.pem"
    authority.write_bytes(certificate("authority", ours, "authority", ours))
    chain.write_bytes(private + certificate("server", theirs, "authority", ours))
    bucket = versitygw.make_bucket()
    with TlsRelay(versitygw.endpoint, chain) as relay:
        s3 = make(versitygw, bucket=bucket, endpoint_url=relay.url, verify=str(authority), part_size=PART)
        both_ways(s3)
        careless = make(versitygw, bucket=bucket, endpoint_url=relay.url, verify=False)
        assert careless.has(LARGE)
        strict = make(versitygw, bucket=bucket, endpoint_url=relay.url, verify=True)
        for call in (lambda: strict.has(LARGE), lambda: strict.identify(claim=False)):
            with pytest.raises(TierDenied, match="name the CA's certificate in verify"):
                call()


FORKS = """
import os, sys
from ziggurat.backend import Context
from ziggurat.errors import TierUnavailable
from ziggurat_s3 import S3, S3Options
endpoint, access, secret, bucket = sys.argv[1:5]
options = S3Options(bucket=bucket, endpoint_url=endpoint, access_key_id=access, secret_access_key=secret)
s3 = S3(options, Context("tier", "store"))
assert not s3.has("absent")
s3.put("large", bytes(16 << 20), None)
child = os.fork()
if not child:
    for tried in (s3, S3(options, Context("tier", "store"))):
        for call in (
            lambda: tried.has("absent"),
            lambda: tried.stat("absent"),
            lambda: tried.identify(claim=False),
            lambda: tried.put("large", bytes(16 << 20), None),
        ):
            try:
                call()
            except TierUnavailable as error:
                assert "forked" in str(error), error
            else:
                os._exit(1)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert not s3.has("absent")
print("told", flush=True)
"""


def test_a_fork_is_told_that_it_cannot(
    child: Callable[..., subprocess.Popen[str]], versitygw: S3Server
) -> None:
    keys = (versitygw.endpoint, versitygw.access_key, versitygw.secret_key)
    said, _ = child(FORKS, *keys, versitygw.make_bucket()).communicate(timeout=60)
    assert said == "told\n"


def test_the_libraries_are_imported_at_the_first_use() -> None:
    script = (
        "import sys, ziggurat_s3; from ziggurat.backend import Context;"
        "ziggurat_s3.S3(ziggurat_s3.S3Options(bucket='bucket'), Context('t', 'store'));"
        "print(*{'boto3', 'botocore', 'obstore', 'urllib3'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"verify": "/no/such/authority.pem"}, TierDenied, "authority.pem cannot be read.*verify"),
        ({"boto3": {"config": {"no_such": 1}}}, TierUnavailable, "no_such.*correct the options"),
        ({"profile_name": "nobody"}, TierUnavailable, "nobody.*correct the options"),
    ],
)
def test_options_that_the_libraries_refuse(given: dict[str, Any], kind: type[TierError], said: str) -> None:
    s3 = S3(S3Options(bucket="vault", endpoint_url="https://127.0.0.1:1", **given), Context("t", "store"))
    for call in (
        lambda: s3.get(KEY, None),
        lambda: s3.has(KEY),
        lambda: list(s3.scan()),
        lambda: s3.put(KEY, b"x", None),
        lambda: s3.clean(0),
    ):
        with pytest.raises(TierError, match=said) as caught:
            call()
        assert type(caught.value) is kind
        assert not caught.value.retryable
