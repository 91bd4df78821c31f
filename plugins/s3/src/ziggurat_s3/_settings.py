"""How a service is reached and who asks: one frozen record, whatever spelling it was given in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from attrs import field, frozen

__all__ = ["CLIENT_PARAMETERS", "SESSION_PARAMETERS", "AddressingStyle", "Settings", "address_of"]

AddressingStyle = Literal["auto", "path", "virtual"]

SESSION_PARAMETERS = ("aws_access_key_id", "region_name", "profile_name", "aws_account_id")
"""What ``boto3 = {}`` may hold for `boto3.session.Session`; secrets have options of their own."""

CLIENT_PARAMETERS = ("api_version", "use_ssl", "verify", "endpoint_url", "config")
"""What ``boto3 = {}`` may hold for ``Session.client``; ``config`` holds parameters of botocore's Config."""


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, default=repr)


@frozen
class Settings:
    """Where the service is and who asks. Equal settings share one session and one pool of connections.

    What is empty is left to boto3's own chain: environment, profiles, roles.

    Attributes:
        access_key_id: Access key, "" for the chain.
        secret_access_key: Its secret.
        session_token: Its session token, "" for none.
        profile_name: Profile of the AWS configuration files, "" for the default.
        region_name: Region, "" for the chain, then "us-east-1".
        endpoint_url: URL of the service with its scheme, "" for the chain, then AWS.
        use_ssl: False for plain HTTP where no endpoint says otherwise.
        verify: True for the system's certificates, False for no check, or the path of a CA bundle; None
            for the chain.
        addressing_style: Where the bucket's name stands in a URL; "auto" chooses by the endpoint.
        anonymous: Requests are not signed.
        config: Further parameters of botocore's Config.
        session: Further parameters of the session.
        client: Further parameters of the client.
    """

    access_key_id: str = ""
    secret_access_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    profile_name: str = ""
    region_name: str = ""
    endpoint_url: str = ""
    use_ssl: bool = True
    verify: bool | str | None = None
    addressing_style: AddressingStyle = "auto"
    anonymous: bool = False
    config: Mapping[str, Any] = field(factory=dict, repr=False, eq=_text)
    session: Mapping[str, Any] = field(factory=dict, repr=False, eq=_text)
    client: Mapping[str, Any] = field(factory=dict, repr=False, eq=_text)


def address_of(endpoint: str, *, use_ssl: bool | None) -> str:
    """Complete the address of a service.

    Args:
        endpoint: A URL, or ``host:port``.
        use_ssl: What was said of TLS, None for nothing.

    Returns:
        A URL without a path's last slash, "" for none.

    Raises:
        ValueError: It is no address of a service.
    """
    if not endpoint:
        return ""
    url = endpoint if "://" in endpoint else f"{'http' if use_ssl is False else 'https'}://{endpoint}"
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError("endpoint_url holds no user and no password: give access_key_id, secret_access_key")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("endpoint_url is the address of a service, such as https://host:port")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("endpoint_url has no valid port") from None
    if use_ssl is not None and use_ssl is not (parts.scheme == "https"):
        raise ValueError(f"use_ssl = {str(use_ssl).lower()} contradicts endpoint_url: leave one of them out")
    return url.rstrip("/")
