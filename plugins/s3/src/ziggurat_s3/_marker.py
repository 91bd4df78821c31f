"""Who a bucket and prefix are: a marker, and one more for each further catalog that uses them.

``PREFIX.ziggurat/marker.json`` holds format, id (a UUID), owner (the catalog that first used the medium) and
layout (the template of its objects' names). ``PREFIX.ziggurat/catalogs/<catalog>`` is empty: its name says
all. Both are outside the key space, because neither a key nor a layout begins with a dot.
"""

from __future__ import annotations

import json
import time
import uuid
from urllib.parse import quote, unquote

from attrs import frozen

from ziggurat.backend import Medium
from ziggurat.errors import TierUnavailable
from ziggurat_s3._bucket import Bucket
from ziggurat_s3._layout import Layout

__all__ = ["FORMAT", "Marker", "claim", "look"]

FORMAT = 1
_SETTLE = 2.0  # seconds: longer than any claim takes from its look to its write


@frozen
class Marker:
    """A medium's own marker.

    Attributes:
        id: UUID of the medium.
        owner: The catalog that first used it, or "".
        layout: Template of the names of its objects.
    """

    id: str
    owner: str
    layout: str


def look(bucket: Bucket, layout: Layout) -> Medium | None:
    """Read who the medium is, None where it has no marker.

    Raises:
        TierUnavailable: The marker does not parse, a newer version made the medium, or its objects are named
            otherwise.
    """
    marker = _read(bucket, layout)
    return None if marker is None else _medium(bucket, layout, marker)


def claim(bucket: Bucket, layout: Layout, catalog: str) -> Medium:
    """Make the medium's marker unless it has one, and leave one of a catalog beside it.

    Raises:
        TierUnavailable: As `look`.
    """
    marker = _read(bucket, layout) or _make(bucket, layout, catalog)
    medium = _medium(bucket, layout, marker)
    if catalog and catalog not in medium.catalogs:
        bucket.write(f"{_folder(layout)}catalogs/{quote(catalog, safe='')}", b"")
        medium = _medium(bucket, layout, marker)
    return medium


def _make(bucket: Bucket, layout: Layout, catalog: str) -> Marker:
    """Make the marker; of several who do it at once one wins, and all know which."""
    marker = Marker(str(uuid.uuid4()), catalog, layout.template)
    record = {"format": FORMAT, "id": marker.id, "owner": marker.owner, "layout": marker.layout}
    data = json.dumps(record).encode()
    name = f"{_folder(layout)}marker.json"
    # A service that knows conditional writes refuses the second one; elsewhere the last of several wins,
    # and each reads who that was when all have written.
    if bucket.write_new(name, data) and bucket.write_new(name, data):
        time.sleep(_SETTLE)
    found = _read(bucket, layout)
    if found is None:
        raise TierUnavailable(f"{name} is gone as soon as it was written: look into the service's log")
    return found


def _folder(layout: Layout) -> str:
    return f"{layout.prefix}.ziggurat/"


def _read(bucket: Bucket, layout: Layout) -> Marker | None:
    name = f"{_folder(layout)}marker.json"
    data = bucket.read_small(name)
    if data is None:
        return None
    try:
        found = json.loads(data)
        version = found["format"]
        marker = Marker(id=found["id"], owner=found["owner"], layout=found.get("layout", ""))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        version, marker = None, Marker("", "", "")
    where = f"{name} in bucket {bucket.name!r}"
    if isinstance(version, int) and version > FORMAT:
        raise TierUnavailable(
            f"{where}: the medium has format {version}, newer than {FORMAT}: upgrade ziggurat-s3"
        )
    sound = isinstance(marker.id, str) and marker.id and isinstance(marker.owner, str)
    if version != FORMAT or not sound or not isinstance(marker.layout, str):
        raise TierUnavailable(f"{where} is damaged: restore it, or empty the prefix if it is a cache")
    if marker.layout != layout.template:
        raise TierUnavailable(
            f'{where} says that objects are named "{marker.layout}", and layout says "{layout.template}":'
            " set layout as it is, or use another prefix"
        )
    return marker


def _medium(bucket: Bucket, layout: Layout, marker: Marker) -> Medium:
    """Name the medium and every catalog that left a marker, the owner first."""
    folder = f"{_folder(layout)}catalogs/"
    others = sorted(unquote(name.removeprefix(folder)) for name in bucket.names(folder))
    catalogs = [marker.owner, *others] if marker.owner else others
    return Medium(id=marker.id, catalogs=tuple(dict.fromkeys(catalogs)))
