"""Gateways with TLS: who they are is checked, and a stalled one is cut as any other."""

import datetime
import ipaddress
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.servers.rogue import RAW, RogueGateway, slowly

from ziggurat.backend import Context
from ziggurat.content import Cid
from ziggurat.errors import TierTimeout, TierUnavailable
from ziggurat_ipfs.gateway import GatewayOptions, backend

BLOCK = b"a block"
CID = Cid.of(BLOCK)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A file with a key and a certificate for 127.0.0.1 that nobody knows."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def context(certificate):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate)
    return made


def tier_of(server):
    return backend.factory(GatewayOptions(urls=(server.url,), patience=1.0), Context("net", "source"))


def test_a_certificate_that_nobody_knows_is_refused(context):
    with RogueGateway({CID: BLOCK}, tls=context) as server:
        tier = tier_of(server)
        with pytest.raises(TierUnavailable, match="trusted") as caught:
            tier.get(CID.key, None)
        assert not caught.value.retryable
        assert server.count() == 0
        tier.close()


def test_a_known_one_is_read(context, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with RogueGateway({CID: BLOCK}, tls=context) as server:
        tier = tier_of(server)
        assert tier.get(CID.key, None) == BLOCK
        assert tier.has(CID.key)
        assert server.connections == 1
        tier.close()


def test_a_drip_within_tls_is_cut(context, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    def drip(asked, reply, server):
        reply.head(200, Content_Type=RAW, Content_Length=1000)
        slowly(reply, bytes(1000), 0.05)

    with RogueGateway({}, drip, tls=context) as server:
        tier = tier_of(server)
        with pytest.raises(TierTimeout):
            tier.get(CID.key, None)
        tier.close()
