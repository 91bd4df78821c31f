"""Who a medium is: its marker, and one more for each further catalog that uses it.

``marker.json`` holds ``{"format": 1, "id": <UUID>, "owner": <catalog>}`` and is written last, when all
else of a new medium is in place; ``markers/<catalog>.json`` holds ``{"catalog": <catalog>}``. Both lie
beside the folders of the blobs, outside the key space.
"""

from __future__ import annotations

import json
import os
import uuid
from urllib.parse import quote

from attrs import frozen

from ziggurat.backend import Medium
from ziggurat.errors import TierUnavailable
from ziggurat_disk._folders import make_folder, write_whole

__all__ = ["FORMAT", "MARKER", "Marker", "add_catalog", "medium", "read_marker", "write_marker"]

FORMAT = 1
MARKER = "marker.json"
_MARKERS = "markers"


@frozen
class Marker:
    """A medium's own marker.

    Attributes:
        id: UUID of the medium.
        owner: The catalog that first used it, or "".
    """

    id: str
    owner: str


def read_marker(folder: str) -> Marker | None:
    """Read a medium's marker, None where there is none.

    Raises:
        TierUnavailable: It does not parse, or a newer version made the medium.
    """
    path = f"{folder}/{MARKER}"
    try:
        with open(path, "rb") as file:
            data = file.read(1 << 16)
    except FileNotFoundError:
        return None
    try:
        found = json.loads(data)
        version, marker = found["format"], Marker(id=found["id"], owner=found["owner"])
    except (ValueError, TypeError, KeyError, RecursionError):
        version, marker = None, Marker("", "")
    if isinstance(version, int) and version > FORMAT:
        raise TierUnavailable(
            f"{path}: the medium has format {version}, newer than {FORMAT}: upgrade ziggurat-disk"
        )
    if version != FORMAT or not (isinstance(marker.id, str) and marker.id and isinstance(marker.owner, str)):
        raise TierUnavailable(f"{path} is damaged: restore it, or empty the folder if it is a cache")
    return marker


def write_marker(folder: str, owner: str) -> Marker:
    """Make the folder a medium; the caller holds the folder's lock."""
    marker = Marker(id=str(uuid.uuid4()), owner=owner)
    record = {"format": FORMAT, "id": marker.id, "owner": marker.owner}
    write_whole(f"{folder}/{MARKER}", json.dumps(record).encode())
    return marker


def add_catalog(folder: str, marker: Marker, catalog: str) -> None:
    """Leave a catalog's own marker unless it has one; the caller holds the folder's lock."""
    if catalog and catalog not in medium(folder, marker).catalogs:
        make_folder(f"{folder}/{_MARKERS}", durable=True)
        path = f"{folder}/{_MARKERS}/{quote(catalog, safe='')}.json"
        write_whole(path, json.dumps({"catalog": catalog}).encode())


def medium(folder: str, marker: Marker) -> Medium:
    """Name the medium and every catalog that left a marker, the owner first."""
    catalogs = [marker.owner] if marker.owner else []
    try:
        names = sorted(os.listdir(f"{folder}/{_MARKERS}"))
    except FileNotFoundError:
        names = []
    for name in names:
        if not name.endswith(".json"):
            continue  # being written
        path = f"{folder}/{_MARKERS}/{name}"
        try:
            with open(path, "rb") as file:
                catalog = json.loads(file.read(1 << 16))["catalog"]
        except (ValueError, TypeError, KeyError):
            raise TierUnavailable(
                f"{path} is damaged: restore it, or remove it if no catalog uses it"
            ) from None
        catalogs.append(str(catalog))
    return Medium(id=marker.id, catalogs=tuple(dict.fromkeys(catalogs)))
