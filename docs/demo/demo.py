"""Store real files over a stack that one TOML file describes, read them from each tier, and catch a lie.

Run it with ``make demo``. Everything it says is checked: it ends with status 1 at the first claim
that is not so.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from ziggurat import Cid, Store, ZigguratError, open_store
from ziggurat.engine.records import TierStats

HERE = Path(__file__).resolve().parent
SIZE = 64 * 1024 * 1024
BIG = "bafybeie3vpzzkvo7zlqetf6sef2z5cgnyst6s47xou7mjekekz5kycflhq"
"""What IPFS calls the generated file in the profile unixfs-v1-2025."""

out = Console(highlight=False, soft_wrap=True)


class Broken(Exception):
    """Something that the demo claims did not happen."""


def claim(so: bool, what: str) -> None:
    """Say what is so, or stop the demo."""
    if not so:
        raise Broken(what)
    out.print(f"  [green]✓[/] {escape(what)}")


def chapter(title: str) -> None:
    """Start a part of the demo."""
    out.print()
    out.rule(f"[bold]{title}", align="left")


@contextmanager
def timed(size: int) -> Iterator[list[str]]:
    """Give a list that holds, afterwards, the time and the rate."""
    start = time.perf_counter()
    said: list[str] = []
    yield said
    seconds = time.perf_counter() - start
    said.append(f"{seconds * 1000:,.0f} ms, {size / seconds / 1e6:,.0f} MB/s")


def digest(store: Store, cid: Cid) -> str:
    """Read a blob piece by piece; its sha2-256 in hexadecimal."""
    seen = hashlib.sha256()
    for piece in store.stream(cid):
        seen.update(piece)
    return seen.hexdigest()


def copy_on_disk(folder: Path) -> Path:
    """The file in which a disk tier keeps the generated file: the only one of its size."""
    (found,) = (path for path in folder.rglob("*") if path.is_file() and path.stat().st_size == SIZE)
    return found


def flip(path: Path, offset: int) -> None:
    """Change one bit behind the store's back."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def settle(store: Store, cid: Cid, tier: str) -> None:
    """Wait until a cache, which is filled in the background, holds the whole blob."""
    blocks = store.explain(cid).blocks
    for _ in range(200):
        held = {candidate.tier: candidate.blocks for candidate in store.explain(cid).tiers}
        if blocks is not None and (held[tier] or 0) >= blocks:
            return
        time.sleep(0.05)
    raise Broken(f"the cache {tier} was not filled within ten seconds")


def read(store: Store, cid: Cid, expected: str, tier: str) -> None:
    """Read a blob, and check that all of it came from one tier."""
    before = {seen.tier: seen.hits for seen in store.stats().tiers}
    with timed(SIZE) as said:
        right = digest(store, cid) == expected
    hits = {seen.tier for seen in store.stats().tiers if seen.hits > before[seen.tier]}
    claim(right and hits == {tier}, f"{tier:5} answers: 64 MiB, every byte proved ({said[0]})")


def tiers(store: Store) -> None:
    """Print the state of the stack."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("tier", "role", "backend", "entries", "used", "hits", "misses", "errors", "state"):
        table.add_column(name, justify="left" if name in {"tier", "role", "backend", "state"} else "right")
    for tier in store.stats().tiers:
        used = "?" if tier.used is None else f"{tier.used / 1e6:,.1f} MB"
        entries = "?" if tier.entries is None else f"{tier.entries:,}"
        numbers = (f"{number:,}" for number in (tier.hits, tier.misses, tier.errors))
        table.add_row(tier.tier, tier.role, tier.backend, entries, used, *numbers, tier.state)
    out.print(table)


def tell(place: Path) -> None:
    """The whole story, in a folder of its own."""
    config = place / "demo.toml"
    shutil.copy(HERE / "demo.toml", config)
    pages = place / "docs"
    shutil.copytree(HERE.parent, pages, ignore=shutil.ignore_patterns("_build", "__pycache__"))
    sample = place / "sample.bin"
    content = hashlib.shake_256(b"ziggurat demo").digest(SIZE)
    sample.write_bytes(content)
    expected = hashlib.sha256(content).hexdigest()
    del content

    chapter("A stack from a TOML file alone")
    out.print(Syntax(config.read_text(), "toml", background_color="default"))

    with open_store(config) as store:
        chapter("Store this repository's docs/ and a generated file")
        directory = store.put_dir(pages)
        claim(directory.copies == ("shelf", "attic"), f"docs/       {directory.cid}, {directory.size:,} B")
        with timed(SIZE) as said:
            big = store.put(sample)
        claim(big.copies == ("shelf", "attic"), f"sample.bin  {big.cid}, {big.size:,} B ({said[0]})")
        claim(str(big.cid) == BIG, "the CID is the one that IPFS gives this file")
        page = "explanation/content.md"
        same = store.get(f"{directory.cid}/{page}") == (pages / page).read_bytes()
        claim(same, f"docs/{page} reads back by its path")
        found = {entry.path for entry in store.ls(directory.cid)}
        claim(found == {path.name for path in pages.iterdir()}, f"docs/ lists {', '.join(sorted(found))}")

        chapter("Read it from each tier")
        for cache in ("ram", "ssd"):
            store.evict(big.cid, cache)
        read(store, big.cid, expected, "shelf")
        settle(store, big.cid, "ssd")
        read(store, big.cid, expected, "ram")
        store.evict(big.cid, "ram")
        read(store, big.cid, expected, "ssd")
    with open_store(config) as store:
        claim(
            store.has(directory.cid),
            "opened anew, the store finds everything; only the memory cache starts empty:",
        )
        read(store, big.cid, expected, "ssd")

        chapter("Flip one bit on disk")
        for cache in ("ram", "ssd"):
            store.evict(big.cid, cache)
        place_of_lie = SIZE // 2 + 12_345
        flip(copy_on_disk(place / "shelf"), place_of_lie)
        out.print(f"  one bit of shelf's copy is now wrong, at byte {place_of_lie:,}")
        findings = {finding.tier: finding for finding in store.verify(big.cid)}
        lie = findings["shelf"]
        claim(lie.known and not lie.ok, f"verify finds it: {lie.problem}")
        claim(findings["attic"].ok, "attic's copy proves whole")
        claim(
            digest(store, big.cid) == expected,
            "a read gets every byte right: from the lie on, attic serves it",
        )
        settle(store, big.cid, "ssd")

        chapter("Flip the same bit of the last good copy")
        for cache in ("ram", "ssd"):
            store.evict(big.cid, cache)
        flip(copy_on_disk(place / "attic"), place_of_lie)
        served = 0
        try:
            for piece in store.stream(big.cid):
                served += len(piece)
        except ZigguratError as error:
            claim(served <= place_of_lie, f"refused after {served:,} proved bytes: {type(error).__name__}")
            out.print(f"    {error}", style="dim")
        else:
            raise Broken("a read of a blob whose copies are all wrong was not refused")
        good = store.get(big.cid, 0, 65536) == sample.read_bytes()[:65536]
        claim(good, "what is whole is still served: a range before the lie reads and proves")

        chapter("The tiers now")
        tiers(store)

    chapter("What a small cache keeps")
    keep(place)


def keep(place: Path) -> None:
    """A miss, its admission, the hit, an eviction, and what the policy says to it."""
    table = {
        "store": {"path": str(place / "small")},
        "tier": [
            {"name": "ram", "backend": "memory", "capacity": 100_000, "policy": "heat"},
            {"name": "shelf", "backend": "disk", "role": "store", "options": {"path": str(place / "pile")}},
        ],
    }
    out.print("  ram: 100 kB under the policy heat, over a store on disk")
    with open_store(table) as store:
        blobs = [store.put(bytes([number]) * 30_000).cid for number in range(8)]

        def ram() -> TierStats:
            return store.stats().tiers[0]

        store.get(blobs[0])
        seen = ram()
        claim((seen.misses, seen.hits) == (1, 0), "the first read is a miss: shelf answers")
        claim((seen.entries, seen.used) == (1, 30_000), "its block is admitted to ram")
        for _ in range(9):
            store.get(blobs[0])
        claim((ram().misses, ram().hits) == (1, 9), "nine more reads are hits in memory, counted exactly")
        for cid in blobs[1:]:
            store.get(cid)
        seen = ram()
        room = (seen.used or 0) <= 100_000
        claim(
            room and seen.evictions == 5,
            f"seven other blobs: {seen.evictions} blocks went, none too many is kept",
        )
        kept = [cid for cid in blobs if store.explain(cid).tiers[0].holds]
        found = store.explain(kept[0])
        claim(len(kept) == 3 and found.heat is not None, f"explain {kept[0]}")
        if found.heat is not None:
            heat = found.heat
            out.print(
                f"    heat score {heat.score:.2f} = (frequency_factor {heat.frequency_factor:.2f} + recency "
                f"{heat.recency:.2f}) * boost_factor {heat.boost_factor:g} * age {heat.age_factor:.2f}"
            )
        for each in found.expected:
            claim(
                each.value is not None and each.neighbours == 3, "its policy compares it with its neighbours"
            )
            soon = (
                "" if each.next_use is None else f"{each.next_use:{'.2g' if each.next_use < 10 else ',.0f'}}"
            )
            use = f", next use expected in {soon} {each.unit}" if soon else ""
            rank = f"; {each.rank} of {each.neighbours} blocks would go before it"
            out.print(f"    {each.tier} ({each.policy}){use}{rank}")


def main() -> int:
    """Tell the story in a temporary folder; returns the exit status."""
    start = time.perf_counter()
    out.print(f"[bold]Ziggurat {version('ziggurat')}[/]: one address, any storage")
    place = Path(tempfile.mkdtemp(prefix="ziggurat-demo-"))
    try:
        tell(place)
    except (Broken, ZigguratError) as error:
        out.print(f"  [red]✗[/] {escape(str(error))}")
        return 1
    finally:
        shutil.rmtree(place, ignore_errors=True)
    seconds = time.perf_counter() - start
    out.print(f"\nAll of it happened, in {seconds:.1f} s. Next: README.md, docs/tutorial/first-stack.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
