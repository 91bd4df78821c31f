"""One boto3 session, one client and one set of obstore stores for each configuration.

boto3 finds credentials, region and endpoint and does what is not bytes; obstore moves bytes with the same
credentials at the same endpoint. Both are made at the first use. obstore's threads do not survive a fork: a
process that was forked after its first use is refused with a clear error.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ziggurat.backend import Timeouts
from ziggurat.errors import TierDenied, TierError, TierUnavailable
from ziggurat_s3._checksums import content_md5_of
from ziggurat_s3._settings import Settings

if TYPE_CHECKING:
    from boto3.session import Session
    from obstore.store import S3Store
    from types_boto3_s3.client import S3Client

__all__ = ["CONNECTIONS", "Clients", "clients_for"]

CONNECTIONS = 64
"""Connections that boto3 keeps for one configuration."""

_UPLOAD = 120.0  # seconds beyond `idle` for one upload, during which obstore reads nothing
_VIRTUAL_ONLY = ("aliyuncs.com", "myqcloud.com")  # services that refuse the bucket in the path
_FIRST_USE = [0]  # process that first used obstore


class Clients:
    """Clients of one service for one set of credentials; thread-safe, made late, gone with their last user.

    Use `clients_for`, which gives everybody who asks for the same the same.

    Args:
        settings: Where, and who.
        timeouts: Seconds to connect, and for the next byte.
    """

    def __init__(self, settings: Settings, timeouts: Timeouts) -> None:
        self.settings, self._timeouts = settings, timeouts
        self._lock = threading.RLock()
        self._session: Session | None = None
        self._s3: S3Client | None = None
        self._uploads: S3Client | None = None
        self._stores: dict[tuple[object, ...], S3Store] = {}
        self._path_style = True
        self._process = os.getpid()

    @property
    def session(self) -> Session:
        """The boto3 session; its credentials are those of every request."""
        with self._lock:
            if self._session is None:
                self._session = _session(self.settings)
            return self._session

    @property
    def s3(self) -> S3Client:
        """The boto3 client: no retries of its own, and no checksums that a service did not ask for.

        Raises:
            TierUnavailable: This process was forked after its first use, and would share its connections; or
                the options cannot be used.
        """
        if self._s3 is not None and self._process != os.getpid():
            raise _forked()
        if self._s3 is None:
            with self._lock:
                if self._s3 is None:
                    self._s3 = self._made()
        return self._s3

    @property
    def uploads(self) -> S3Client:
        """As `s3`, and what it sends is not hashed for the signature: parts have checksums of their own."""
        endpoint = self.endpoint  # each time: it refuses a process that was forked
        if self._uploads is None:
            made = self._further(endpoint, payload_signing_enabled=False)
            with self._lock:
                self._uploads = self._uploads or made
        return self._uploads

    @property
    def endpoint(self) -> str:
        """URL of the service, as boto3 resolved it."""
        return str(self.s3.meta.endpoint_url).rstrip("/")

    @property
    def region(self) -> str:
        """Region that requests are signed for."""
        return str(self.s3.meta.region_name)

    def region_of(self, bucket: str) -> str:
        """Region that the service names for a bucket, "" if it names none.

        It does so in a header, which obstore does not show, and which boto3 would follow.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        said: Mapping[str, Any] = {}
        try:
            client = self._further(self.endpoint)
            client.meta.events.register_last("before-parameter-build.s3", _stays)
            try:
                said = client.head_bucket(Bucket=bucket)
            finally:
                client.close()
        except ClientError as error:
            said = error.response
        except (BotoCoreError, TierError):
            return ""
        headers = said.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return str(headers.get("x-amz-bucket-region", ""))

    def store(self, bucket: str, *, upload: bool = False, config: Mapping[str, Any] | None = None) -> S3Store:
        """The obstore store of a bucket.

        Args:
            bucket: Its name.
            upload: For puts, during which the service may be silent for longer.
            config: Further `obstore.store.S3Config`, such as encryption.

        Raises:
            TierDenied: There are no credentials.
            TierUnavailable: This process was forked from one that used obstore.
        """
        key = (bucket, upload, *sorted((config or {}).items()))
        found = self._stores.get(key)
        if found is None or _FIRST_USE[0] != os.getpid():
            with self._lock:
                found = self._stores.get(key)
                if found is None or _FIRST_USE[0] != os.getpid():
                    found = self._stores[key] = self._store(bucket, upload, config or {})
        return found

    def _made(self) -> S3Client:
        session = self.session
        # What looks for an endpoint or a region beyond boto3's own chain.
        endpoint = self.settings.endpoint_url
        if not endpoint and not os.environ.get("AWS_ENDPOINT_URL_S3"):
            endpoint = os.environ.get("S3_ENDPOINT_URL", "")
        region = self.settings.region_name or os.environ.get("AWS_REGION") or session.region_name
        style = self.settings.addressing_style
        client = self._client(endpoint, region or "us-east-1", style)
        if style == "auto" and not _is_aws(str(client.meta.endpoint_url)):
            host = urlsplit(str(client.meta.endpoint_url)).hostname or ""
            style = "virtual" if host.endswith(_VIRTUAL_ONLY) else "path"
            client.close()
            client = self._client(endpoint, region or "us-east-1", style)
        self._path_style = style == "path"
        self._process = os.getpid()
        return client

    def _further(self, endpoint: str, **more: object) -> S3Client:
        """Another client like `s3`, whose endpoint is known."""
        return self._client(endpoint, self.region, "path" if self._path_style else "virtual", **more)

    def _client(self, endpoint: str, region: str, style: str, **more: object) -> S3Client:
        from botocore import UNSIGNED
        from botocore.config import Config

        settings = self.settings
        given: dict[str, Any] = {
            "connect_timeout": self._timeouts.connect,
            "read_timeout": self._timeouts.idle,
            "max_pool_connections": CONNECTIONS,
            "tcp_keepalive": True,
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
            **settings.config,
        }
        given["s3"] = {"addressing_style": style, **given.get("s3", {}), **more}
        given["retries"] = {"total_max_attempts": 1}
        if settings.anonymous:
            given["signature_version"] = UNSIGNED
        self._check_authority()
        try:
            made: Any = self.session.client(
                "s3",
                region_name=region,
                endpoint_url=endpoint or None,
                use_ssl=settings.use_ssl,
                verify=settings.verify,
                config=Config(**given),
                **settings.client,
            )
        except (TypeError, ValueError) as error:  # what Python itself says of parameters
            said = " ".join(str(error).split())
            raise TierUnavailable(f"S3 cannot be used: {said}: correct the options") from error
        client: S3Client = made
        # boto3 sends a CRC-32 with it instead, which services that want the digest do not take for one.
        client.meta.events.register("before-sign.s3.DeleteObjects", _with_digest)
        return client

    def _store(self, bucket: str, upload: bool, config: Mapping[str, Any]) -> S3Store:
        process = os.getpid()
        if _FIRST_USE[0] not in (0, process):
            raise _forked()
        from obstore.store import S3Store

        parts = urlsplit(self.endpoint)
        virtual = not self._path_style and ("." not in bucket or parts.scheme == "http")
        host = f"{bucket}.{parts.netloc}" if virtual else parts.netloc
        endpoint = f"{parts.scheme}://{host}{parts.path}"
        known: dict[str, Any] = {
            "endpoint": endpoint,
            "aws_endpoint_url_s3": endpoint,  # obstore would take it from the environment
            "region": self.region,
            "virtual_hosted_style_request": virtual,
            "skip_signature": self.settings.anonymous,
            **config,
        }
        if not self.settings.anonymous:
            known["credential_provider"] = self._provider()
        made = S3Store(
            bucket,
            client_options=self._options(parts.scheme, upload),  # type: ignore[arg-type] # built at run time
            retry_config={"max_retries": 0},
            **known,
        )
        _FIRST_USE[0] = process
        return made

    def _provider(self) -> Any:
        from ziggurat_s3._credentials import Refreshing

        credentials = self.session.get_credentials()
        if credentials is None:
            raise TierDenied(
                "no credentials for S3: give access_key_id and secret_access_key, set AWS_ACCESS_KEY_ID and"
                " AWS_SECRET_ACCESS_KEY, name a profile, or say anonymous = true for a public bucket"
            )
        return Refreshing(credentials)

    def _options(self, scheme: str, upload: bool) -> dict[str, Any]:
        """What obstore's client is told: the same as boto3's."""
        idle = self._timeouts.idle + (_UPLOAD if upload else 0.0)
        made: dict[str, Any] = {
            "allow_http": scheme == "http",
            "connect_timeout": timedelta(seconds=self._timeouts.connect),
            "read_timeout": timedelta(seconds=idle),
            "timeout": timedelta(days=7),  # the tier has the total; obstore's own default is 30 s
            "pool_idle_timeout": timedelta(seconds=20),
        }
        verify = self._verify()
        if verify is False:
            made["allow_invalid_certificates"] = True
        elif isinstance(verify, str):
            made["root_certificate"] = Path(verify).read_bytes()
        proxies = self.settings.config.get("proxies") or {}
        if proxies.get(scheme):
            made["proxy_url"] = proxies[scheme]
        return made

    def _verify(self) -> bool | str | None:
        verify = self.settings.verify
        return _chain(self.session, "ca_bundle") if verify is None else verify

    def _check_authority(self) -> None:
        """Refuse a CA bundle that cannot be read: the libraries would tell it as a fault of their own."""
        verify = self._verify()
        if not isinstance(verify, str):
            return
        try:
            Path(verify).read_bytes()
        except OSError as error:
            raise TierDenied(
                f"the CA bundle {verify} cannot be read ({error.strerror}): correct verify, or AWS_CA_BUNDLE"
            ) from error


_SHARED: weakref.WeakValueDictionary[tuple[object, ...], Clients] = weakref.WeakValueDictionary()
_SHARED_LOCK = threading.Lock()


def clients_for(settings: Settings, timeouts: Timeouts | None = None) -> Clients:
    """The clients of a configuration: who asks for the same shares one session and its connections.

    The environment belongs to it, because boto3's chain finds there what the settings leave out.

    Args:
        settings: Where, and who.
        timeouts: Seconds to connect, and for the next byte.
    """
    times = timeouts or Timeouts()
    said = sorted(one for one in os.environ.items() if one[0].startswith(("AWS_", "S3_ENDPOINT_URL")))
    key = (settings, times.connect, times.idle, *said)
    with _SHARED_LOCK:
        found = _SHARED.get(key)
        if found is None:
            found = _SHARED[key] = Clients(settings, times)
        return found


def _session(settings: Settings) -> Session:
    import boto3.session

    given: dict[str, Any] = dict(settings.session)
    if settings.access_key_id:
        given["aws_access_key_id"] = settings.access_key_id
        given["aws_secret_access_key"] = settings.secret_access_key
        given["aws_session_token"] = settings.session_token or None
    return boto3.session.Session(
        region_name=settings.region_name or None, profile_name=settings.profile_name or None, **given
    )


def _stays(context: dict[str, Any], **_: object) -> None:
    """Have boto3 take a redirection to another region for the answer."""
    context.setdefault("s3_redirect", {})["redirected"] = True


def _with_digest(request: Any, **_: object) -> None:
    """Give a request that deletes several objects the digest that S3 first asked for."""
    if "Content-MD5" not in request.headers:
        request.headers["Content-MD5"] = content_md5_of(request.body)


def _forked() -> TierUnavailable:
    return TierUnavailable(
        "this process was forked from one that used S3, whose threads and connections are not its own:"
        " start processes with the method spawn or forkserver"
    )


def _chain(session: Session, name: str) -> Any:
    """A variable as botocore finds it: environment, profile."""
    core: Any = session._session  # noqa: SLF001 - boto3 has no other way to the chain
    return core.get_config_variable(name)


def _is_aws(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))
