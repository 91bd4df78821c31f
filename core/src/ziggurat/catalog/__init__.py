"""What is where and was done: roots, copies, edges, pins, user metadata, residency, reservations, counts."""

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
    Tally,
    Usage,
)
from ziggurat.catalog.reservations import Reservations
from ziggurat.catalog.residency import Choose, Residency
from ziggurat.catalog.tallies import Tallies

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
    "Tallies",
    "Tally",
    "Usage",
]
