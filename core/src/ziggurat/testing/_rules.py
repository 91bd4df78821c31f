"""The sentences of the contract that the kit checks, quoted word for word.

A failing check names the sentence that is broken, so that an author reads the rule and not our test. Each
quotation stands in the docstrings of `ziggurat.plugin.hookspecs` or `ziggurat.backend`; a test of the core
keeps it so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from attrs import frozen

__all__ = ["ContractBroken", "Rule"]


class ContractBroken(AssertionError):
    """A backend does not do what a sentence of the contract says.

    Attributes:
        rule: The sentence.
        detail: What happened.
    """

    def __init__(self, rule: Rule, detail: str) -> None:
        super().__init__(
            f"{detail}\nThis breaks the contract, {rule.place}: \N{LEFT DOUBLE QUOTATION MARK}"
            f"{rule.sentence}\N{RIGHT DOUBLE QUOTATION MARK}"
        )
        self.rule, self.detail = rule, detail


@frozen
class Rule:
    """One sentence.

    Attributes:
        place: Where it stands: a hook's name, or "rules", "keys", or a record of `ziggurat.backend`.
        sentence: The quotation.
    """

    place: str
    sentence: str

    def broken(self, detail: str) -> NoReturn:
        """Fail, naming this sentence."""
        raise ContractBroken(self, detail)

    def check(self, holds: object, detail: str) -> None:
        """Fail unless `holds`."""
        if not holds:
            self.broken(detail)

    @contextmanager
    def holds(self, detail: str) -> Iterator[None]:
        """Fail, naming this sentence and not a more general one, when the block raises anything."""
        try:
            yield
        except ContractBroken as error:
            raise ContractBroken(self, f"{detail}: {error.detail}") from error
        except Exception as error:
            raise ContractBroken(self, f"{detail}: {type(error).__name__}: {error}") from error


ABSENT = Rule("rules", '"Absent" (None, False) and "cannot tell" (an exception) are never the same answer.')
ERRORS = Rule("rules", "Every failure of the medium is a `ziggurat.errors.TierError` with `retryable` set")
FAULT = Rule("rules", "Anything else that escapes is reported as `BackendFault`: a bug.")
LAZY = Rule("BackendType", "It makes no connection and touches no medium: that waits for the first call.")
THREADS = Rule("rules", "Backends are thread-safe, make no connection before the first call")
UNVERIFIED = Rule("rules", "Backends never verify content: the core proves every byte")

TEXT = Rule(
    "keys", "on a cache tier it may be a plain `str`; a backend that needs kind or CID calls `as_key`."
)
KINDS = Rule("keys", "one dag-pb block; on cache tiers only")
ONE_KEY = Rule("keys", "CIDv0 and CIDv1 of the same bytes have one key.")
BLOCK = Rule("keys", "one dag-pb block by its own CID")
WHOLE_DAG = Rule("keys", "the whole DAG as (CID, block) pairs, root first")

GET_NONE = Rule("get", "None if this tier does not hold it.")
GET_OPEN = Rule("get", "What it returns is open before it returns, so that a later evict is harmless")
GET_BYTES = Rule("get", "In the bytes form `bytes` or a `Blob`, exactly the range when there is one.")
GET_DAG = Rule(
    "get",
    "In the dag form a `Dag` for a plain dag-pb key (its pairs may be missing, extra or repeated), and one "
    "block's `bytes` for any other key.",
)
GET_NOTE = Rule("get", "What `put` returned for this copy, or None when it was lost or never known.")

PUT_REPLACES = Rule("put", "In the bytes form it replaces atomically what was there.")
PUT_KEPT = Rule("put", "a root that the tier already keeps may be acknowledged without sending anything.")
PUT_WHOLE = Rule("put", "Keep a blob, whole and at once.")
PUT_NO_PART = Rule("put", "No reader ever sees a part.")
PUT_NO_ROOM = Rule("put", "It never makes room by evicting.")
PUT_BOTH = Rule("put", "`content` may be `bytes` or a `Blob` in the bytes form: accept both.")
PUT_AFRESH = Rule(
    "put",
    "What the core hands over starts afresh at each ``chunks()``, ``pairs()`` or ``car()``, from any thread.",
)
PUT_STAT = Rule("put", "What is now there; `note` is given back at the next `get` and `evict`.")
PUT_FAILED = Rule("put", "It could not be kept; nothing was published.")
PUT_PASSES = Rule("put", "Whatever reading `content` raised, unchanged; nothing was published.")

HAS = Rule("has", "Tell whether this tier keeps a copy: put and not evicted.")
HAS_BOOL = Rule("has", 'True or False, never "maybe".')

STAT_SIZE = Rule("stat", "The size of the plain bytes (None when unknown), the bytes it occupies")
STAT_NONE = Rule("stat", "or None if there is no copy.")
NOTE = Rule("Stat", "At most 1 KiB that the backend wants back with the next `get` or `evict`; no secrets.")

EVICT_ABSENT = Rule("evict", "Evicting an absent key is not an error.")
EVICT_ANSWER = Rule("evict", "True if there was a claim, False if there was none")
EVICT_HAS = Rule("evict", "Afterwards `has` is False unless `kept` says why")
EVICT_SHARED = Rule("evict", "Never deletes what another claim shares.")

MANY_ORDER = Rule(
    "put_many", "For each item, in order, its `Stat` or the error that `put` would have raised."
)
MANY_ALONE = Rule("put_many", "Each item is kept or not kept as by `put`, independently of its neighbours.")

SCAN_ONCE = Rule("scan", "List the keys of our own copies")
SCAN_EACH = Rule("scan", "in any order, each once.")
SCAN_ENDS = Rule("scan", "The iterator ends normally only when the list is complete.")

IDENTITY = Rule("identify", "The core remembers copies by this identity, not by the tier's name.")
IDENTITY_CLAIM = Rule(
    "identify",
    "Leave the marker of `Context.catalog` on the medium, and make the medium's identity first when it has "
    "none.",
)
IDENTITY_ASKED = Rule("identify", "Without it nothing is written.")
IDENTITY_APART = Rule("identify", "Media that keep markers (disk, S3) hold them outside the key space.")
CATALOGS = Rule("Medium", "Identifiers of every catalog that left a marker, the owner's first")

CLOSE = Rule("close", "Release connections, files and threads; optional, and harmless when repeated.")
DURABLE = Rule("Capabilities", "As a store, what `put` returned survives a power cut.")
