"""The hooks of the s3 backend, and when its medium is made."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from ziggurat.backend import (
    BackendType,
    Blob,
    ByteRange,
    Capabilities,
    Context,
    Evicted,
    Info,
    Medium,
    Stat,
    hookimpl,
)
from ziggurat.errors import TierDenied, TierError, TierUnavailable
from ziggurat_s3._bucket import Bucket
from ziggurat_s3._info import from_headers, to_headers
from ziggurat_s3._marker import claim as claim_medium
from ziggurat_s3._marker import look
from ziggurat_s3._options import S3Options
from ziggurat_s3._uploads import Uploads

__all__ = ["S3", "backend"]

_OLDER = "the bucket keeps versions: an older one stays until a rule or somebody removes it"


class S3:
    """Blobs in a bucket, each as an object that holds just its bytes.

    Nothing is asked before the first call, and nothing but `put` and ``identify(claim=True)`` writes. With
    `create_bucket` a bucket that does not exist is an empty medium, until this object has seen it.

    Args:
        options: ``[tier.options]``.
        context: Tells role, catalog, timeouts and the spool folder.
    """

    def __init__(self, options: S3Options, context: Context) -> None:
        self._options, self._context = options, context
        self._layout = options.names()
        self._bucket = Bucket(options, context.timeouts, context.tier)
        spool = context.spool if context.spool != Path() else None
        self._uploads = Uploads(self._bucket, self._layout, options, spool, context.logger)
        self._lock = threading.Lock()
        self._seen = ""
        self._claimed = False

    @hookimpl
    def get(self, key: str, byte_range: ByteRange | None) -> bytes | Blob | None:
        """Give a small blob or a short range as bytes, anything longer as an open `Blob`."""
        try:
            return self._bucket.read(self._layout.name(key), byte_range)
        except TierUnavailable as error:
            self._absent_bucket(error)
            return None

    @hookimpl
    def put(self, key: str, content: bytes | Blob, info: Info | None) -> Stat:
        """Keep a blob: in one request, or in parts that a later put goes on with if it breaks off."""
        size = content.size if isinstance(content, Blob) else len(content)
        kind, metadata = to_headers(info)
        if not self._claimed:
            self._claim()
        name = self._layout.name(key)
        if size < self._uploads.threshold:
            data = content.read() if isinstance(content, Blob) else content
            self._bucket.write(name, data, kind, metadata)
        else:
            self._uploads.put(name, content, size, self._bucket.creation(kind, metadata))
        return Stat(size=size, stored=size, info=info)

    @hookimpl
    def has(self, key: str) -> bool:
        """Tell whether there is a copy, by one HEAD."""
        try:
            return self._bucket.has(self._layout.name(key))
        except TierUnavailable as error:
            self._absent_bucket(error)
            return False

    @hookimpl
    def stat(self, key: str) -> Stat | None:
        """Describe a copy, by one HEAD."""
        try:
            head = self._bucket.head(self._layout.name(key))
        except TierUnavailable as error:
            self._absent_bucket(error)
            return None
        if head is None:
            return None
        return Stat(size=head.size, stored=head.size, info=from_headers(head.content_type, head.metadata))

    @hookimpl
    def evict(self, key: str) -> Evicted:
        """Drop a copy; what Object Lock keeps is refused, and what versions keep is told."""
        name = self._layout.name(key)
        try:
            head = self._bucket.head(name)
        except TierUnavailable as error:
            self._absent_bucket(error)
            return Evicted(False)
        if head is None:
            return Evicted(False)
        if head.lock:
            raise TierDenied(f"Object Lock keeps {name}: {head.lock}; lift it, or wait")
        return Evicted(True, _OLDER if self._bucket.delete(name) else "")

    @hookimpl
    def scan(self) -> Iterator[str]:
        """List the keys; objects of others are passed over."""
        try:
            for name in self._bucket.names(self._layout.prefix):
                if (key := self._layout.key(name)) is not None:
                    yield key
        except TierUnavailable as error:
            self._absent_bucket(error)

    @hookimpl
    def identify(self, claim: bool) -> Medium | None:
        """Read the markers; with `claim`, make the bucket if that is wanted, and leave a marker."""
        if claim:
            return self._claim()
        try:
            return self._recognised(look(self._bucket, self._layout))
        except TierUnavailable as error:
            self._absent_bucket(error)
            return None

    @hookimpl
    def close(self) -> None:
        """End the threads; connections go with the last tier of the same configuration."""
        self._uploads.close()

    def clean(self, older_than: float) -> list[str]:
        """Give up uploads that nobody goes on with; see `Uploads.clean`.

        Args:
            older_than: Seconds since they were begun or last worked on.

        Returns:
            The objects that they would have become.
        """
        try:
            return self._uploads.clean(older_than)
        except TierUnavailable as error:
            self._absent_bucket(error)
            return []

    def _claim(self) -> Medium:
        """The medium, made with its bucket if there is none, with a marker of our catalog."""
        with self._lock:
            try:
                medium = self._claim_there()
            except TierUnavailable as error:
                self._absent_bucket(error)
                self._bucket.create()
                medium = self._claim_there()
            self._claimed = True
            return medium

    def _claim_there(self) -> Medium:
        if self._seen and self._recognised(look(self._bucket, self._layout)) is None:
            raise TierUnavailable(
                f"the marker of prefix {self._options.prefix!r} in bucket {self._bucket.name!r} is gone:"
                " restore it, or open the store again if the copies are to be forgotten"
            )
        medium = claim_medium(self._bucket, self._layout, self._context.catalog)
        self._recognised(medium)
        return medium

    def _recognised(self, medium: Medium | None) -> Medium | None:
        """The medium, which is the one that was there before."""
        if medium is not None:
            if self._seen not in ("", medium.id):
                raise TierUnavailable(
                    f"another medium is now in bucket {self._bucket.name!r}: open the store again"
                )
            self._seen = medium.id
        return medium

    def _absent_bucket(self, error: TierError) -> None:
        """Pass over a bucket that is still to be made; raise everything else.

        Raises:
            TierError: As given.
        """
        unmade = self._options.create_bucket and not self._seen and self._context.role != "source"
        if not (unmade and self._bucket.missing(error)):
            raise error


backend = BackendType(
    factory=S3,
    options=S3Options,
    capabilities=Capabilities(form="bytes", durable=True),
)
