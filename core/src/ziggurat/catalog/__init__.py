"""What is where: roots, copies, edges, pins, user metadata, cache residency, reservations and accesses."""

from ziggurat.catalog.accesses import Accesses
from ziggurat.catalog.catalog import Catalog
from ziggurat.catalog.learned import Learned
from ziggurat.catalog.records import (
    Access,
    Admission,
    CacheRow,
    CopyRow,
    Counts,
    Freed,
    MediumRow,
    Reservation,
    RootRow,
    Usage,
)
from ziggurat.catalog.reservations import Reservations
from ziggurat.catalog.residency import Choose, Residency

__all__ = [
    "Access",
    "Accesses",
    "Admission",
    "CacheRow",
    "Catalog",
    "Choose",
    "CopyRow",
    "Counts",
    "Freed",
    "Learned",
    "MediumRow",
    "Reservation",
    "Reservations",
    "Residency",
    "RootRow",
    "Usage",
]
