"""Credentials of boto3's chain for obstore, asked for again before they expire."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from ziggurat.errors import TierDenied

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from obstore.store import S3Credential

__all__ = ["Refreshing"]

_MARGIN = datetime.timedelta(minutes=5)  # object_store asks again this long before what it was told
_PERIOD = datetime.timedelta(minutes=1)  # how long one answer is used


class Refreshing:
    """Gives obstore what botocore holds; botocore itself renews what expires.

    obstore keeps an answer until five minutes before its expiry. Keys that never change are given without
    one; all others as if they lasted little longer than that, so that botocore, which knows when to renew
    them, is asked each minute.

    Args:
        credentials: What the chain found.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        from botocore.credentials import RefreshableCredentials

        self._renewed = isinstance(credentials, RefreshableCredentials)

    def __call__(self) -> S3Credential:
        """The keys of the moment."""
        held: Any = self._credentials.get_frozen_credentials()
        if not held.access_key or not held.secret_key:
            raise TierDenied("the credentials that boto3 found hold no keys: check the profile or the role")
        now = datetime.datetime.now(datetime.UTC)
        return {
            "access_key_id": held.access_key,
            "secret_access_key": held.secret_key,
            "token": held.token,
            "expires_at": now + _MARGIN + _PERIOD if self._renewed else None,
        }
