"""Uploads that nobody goes on with: found, and given up.

Those of this machine are known by their journal, at once. Those of another are known to the service alone:
when they were begun, and when their last part arrived.
"""

from __future__ import annotations

from ziggurat_s3._bucket import Bucket
from ziggurat_s3._journal import Entry, Journal
from ziggurat_s3._layout import Layout

__all__ = ["clean", "drop"]


def drop(bucket: Bucket, entry: Entry) -> None:
    """Give up an upload of this machine; where the service cannot be told, the journal keeps it.

    Raises:
        TierError: It could not be told.
    """
    try:
        bucket.multiparts.abort(entry.name, entry.upload)
    except BaseException:
        entry.leave()
        raise
    entry.done()


def clean(bucket: Bucket, layout: Layout, journal: Journal | None, older_than: float) -> list[str]:
    """Give up the uploads of our objects that nobody goes on with.

    Args:
        bucket: Where.
        layout: Tells our objects from others.
        journal: The uploads of this machine, None for none.
        older_than: Seconds since they were begun or last worked on.

    Returns:
        The objects that they would have become.

    Raises:
        TierError: The service could not tell.
    """
    gone = []
    for entry in journal.dead() if journal is not None else ():
        if not entry.age >= older_than:
            entry.leave()
            continue
        drop(bucket, entry)
        gone.append(entry.name)
    uploads = bucket.multiparts
    others = list(uploads.listed(layout.prefix))
    live = journal.live() if journal is not None else set()
    for one in others:
        if layout.key(one.key) is None or one.upload in live or not one.age >= older_than:
            continue
        held = uploads.held(one)
        if held is not None and held.age >= older_than:
            uploads.abort(one.key, one.upload)
            gone.append(one.key)
    return gone
