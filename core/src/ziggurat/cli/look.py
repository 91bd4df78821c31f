"""``ls``, ``stat``, ``has``, ``explain`` and ``stats``: what is there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from ziggurat.cli._args import ref_arguments
from ziggurat.cli._exit import Exit
from ziggurat.cli._group import command
from ziggurat.cli._output import plural, printable, size_text, table
from ziggurat.cli._session import Session, pass_session
from ziggurat.engine.records import Candidate, Entry, Expectation, Explanation, Tally, TierStats

__all__ = ["explain_command", "has_command", "ls_command", "stat_command", "stats_command"]


@command(
    "ls",
    examples="""
ziggurat ls                       the roots: what was put and not removed
ziggurat ls bafy...               a directory
ziggurat ls -R bafy.../photos     everything beneath one
""",
)
@click.argument("refs", nargs=-1, metavar="[CID[/PATH]]...")
@click.option("-R", "--recursive", is_flag=True, help="List everything beneath, too.")
@pass_session
def ls_command(session: Session, refs: tuple[str, ...], recursive: bool) -> None:
    """List directories; without a CID, the roots. A file lists itself."""
    if not refs:
        _roots(session)
    for ref in refs:
        with session.attempt(ref):
            if len(refs) > 1 and not session.json:
                session.record(f"{printable(ref)}:")
            for entry in _walk(session, ref) if recursive else session.store.ls(ref):
                _entry(session, ref, entry)


def _roots(session: Session) -> None:
    for root in session.store.roots():
        created = datetime.fromtimestamp(root.created, UTC).isoformat(timespec="seconds")
        session.record(
            f"{root.cid}  {size_text(root.size):>9}  {root.type:<9}  {created}",
            cid=str(root.cid),
            size=root.size,
            type=root.type,
            created=created,
        )


def _walk(session: Session, ref: str) -> Iterator[Entry]:
    """Everything beneath, each directory before what is in it; memory grows with the depth only."""
    import attrs

    open_lists = [("", session.store.ls(ref))]
    while open_lists:
        prefix, entries = open_lists[-1]
        entry = next(entries, None)
        if entry is None:
            open_lists.pop()
            continue
        entry = attrs.evolve(entry, path=prefix + entry.path)
        yield entry
        if entry.type == "directory":
            open_lists.append((f"{entry.path}/", session.store.ls(entry.cid)))


def _entry(session: Session, ref: str, entry: Entry) -> None:
    mark = "/" if entry.type == "directory" else ""
    link = f" -> {printable(entry.target)}" if entry.target is not None else ""
    session.record(
        f"{entry.cid}  {size_text(entry.size):>9}  {printable(entry.path)}{mark}{link}",
        cid=str(entry.cid),
        path=entry.path,
        size=entry.size,
        type=entry.type,
        ref=ref,
        **_present(target=entry.target, mode=entry.mode, mtime=entry.mtime),
    )


def _present(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


@command("stat", examples="ziggurat stat bafy.../a.jpg     type, size, copies, pin, tags")
@ref_arguments
@pass_session
def stat_command(session: Session, refs: tuple[str, ...]) -> None:
    """Say what is known of blobs, without reading all of them."""
    for ref in refs:
        with session.attempt(ref):
            found = session.store.stat(ref)
            where = [
                {"tier": copy.tier, "bytes": copy.stored, "under": copy.under and str(copy.under)}
                for copy in found.copies
            ]
            info = found.info
            lines = [
                ("cid", str(found.cid)),
                ("type", found.type),
                ("size", _exact(found.size)),
                *(("copy", _copy(copy)) for copy in where),
                ("root", _yes(found.root)),
                ("pinned", _yes(found.pinned)),
            ]
            if info is not None:
                lines += [("content type", info.content_type)] if info.content_type else []
                lines += [("tag", f"{name}={value}") for name, value in sorted(info.tags.items())]
                lines += [("metadata", f"{name}={value}") for name, value in sorted(info.metadata.items())]
            if found.mode is not None:
                lines.append(("mode", f"{found.mode:04o}"))
            if found.mtime is not None:
                lines.append(("mtime", datetime.fromtimestamp(found.mtime, UTC).isoformat()))
            session.record(
                "\n".join(table(lines)),
                cid=str(found.cid),
                ref=ref,
                type=found.type,
                size=found.size,
                copies=[copy.tier for copy in found.copies],
                where=where,
                root=found.root,
                pinned=found.pinned,
                info=None
                if info is None
                else {
                    "content_type": info.content_type,
                    "tags": dict(info.tags),
                    "metadata": dict(info.metadata),
                },
                **_present(mode=found.mode, mtime=found.mtime),
            )


def _exact(size: int | None) -> str:
    if size is None or size < 1000:
        return size_text(size)
    return f"{size_text(size)} ({size} bytes)"


def _copy(copy: dict[str, Any]) -> str:
    under = f", under {copy['under']}" if copy["under"] else ""
    return f"{copy['tier']} ({size_text(copy['bytes'])}{under})"


def _yes(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "could not tell"}[value]


@command("has", examples="ziggurat has bafy... && echo safe     0: yes, 1: no, 5: could not tell")
@ref_arguments
@pass_session
def has_command(session: Session, refs: tuple[str, ...]) -> None:
    """Say whether a store or a source holds blobs; caches are not asked."""
    for ref in refs:
        with session.attempt(ref):
            held = session.store.has(ref)
            session.record(f"{_yes(held):<3}  {printable(ref)}", ref=ref, has=held)
            if not held:
                session.ends_with(Exit.FAILED)


@command("explain", examples="ziggurat explain bafy...     each tier in the order in which a read asks it")
@ref_arguments
@pass_session
def explain_command(session: Session, refs: tuple[str, ...]) -> None:
    """Say where the copies and cached blocks of a blob are, and which tier would answer a read."""
    import attrs

    for ref in refs:
        with session.attempt(ref):
            found = session.store.explain(ref)
            blocks = "" if found.blocks is None else f", {plural(found.blocks, 'block')}"
            head = f"{found.cid}  {found.type or 'unknown type'}, {_exact(found.size)}{blocks}"
            rows = [_tier_row(tier, found.blocks) for tier in found.tiers]
            end = f"a read is answered by {found.answers}" if found.answers else "no tier would answer a read"
            if found.cid.identity is not None:
                end = "a read asks no tier: the CID holds the bytes itself"
            session.record(
                "\n".join(
                    [head, *(f"  {line}" for line in table(rows)), f"  {printable(end)}", *_outlook(found)]
                ),
                cid=str(found.cid),
                ref=ref,
                type=found.type,
                size=found.size,
                blocks=found.blocks,
                answers=found.answers,
                accesses=found.accesses,
                heat=found.heat and attrs.asdict(found.heat),
                expected=[attrs.asdict(each) for each in found.expected],
                tiers=[
                    {
                        "tier": tier.tier,
                        "role": tier.role,
                        "holds": tier.holds,
                        "blocks": tier.blocks,
                        "bytes": tier.size,
                        "note": tier.note,
                    }
                    for tier in found.tiers
                ],
            )


def _outlook(found: Explanation) -> list[str]:
    """The heat score term by term, and what each cache's policy expects of the blob's blocks."""
    lines = []
    if (heat := found.heat) is not None:
        lines += [
            f"  asked for {plural(found.accesses, 'time')}, heat score {heat.score:.3f} =",
            f"    (frequency_factor {heat.frequency_factor:.3f} * weight {heat.frequency_weight:g}"
            f" + recency {heat.recency:.3f} * weight {heat.recency_weight:g})"
            f" * boost_factor {heat.boost_factor:g}"
            f" * (1 + log(1 + age {heat.age:.0f} s / 86400)) {heat.age_factor:.3f}",
        ]
    for tier in dict.fromkeys(each.tier for each in found.expected):
        mine = [each for each in found.expected if each.tier == tier]
        lines += [f"  {printable(line)}" for line in _expected(mine)]
    return lines


def _expected(blocks: list[Expectation]) -> list[str]:
    first = blocks[0]
    valued = [each for each in blocks if each.value is not None]
    if not valued:
        return [f"{first.tier} ({first.policy}) holds {plural(len(blocks), 'block')}, and compares no values"]
    coldest = min(valued, key=lambda each: each.value or 0.0)
    text = f"{first.tier} ({first.policy}) values its coldest block {coldest.value:.3g}"
    if coldest.next_use is not None:
        unit = "s" if coldest.unit == "seconds" else coldest.unit
        soon = coldest.next_use < 10
        text += f", next use expected in {coldest.next_use:{'.2g' if soon else ',.0f'}} {unit}"
    if coldest.rank is not None:
        text += f"; of {plural(coldest.neighbours, 'neighbour')} {coldest.rank} would go before it"
    return [text]


def _tier_row(tier: Candidate, of: int | None) -> tuple[str, str, str, str]:
    holds = _yes(tier.holds)
    if tier.blocks:
        holds = f"{tier.blocks} of {of} blocks" if of else f"{tier.blocks} blocks"
    if tier.size:
        holds += f", {size_text(tier.size)}"
    return tier.tier, tier.role, holds, tier.note


@command("stats", examples="ziggurat stats --json | jq '.tiers[] | {tier, used, hits: .total.hits}'")
@pass_session
def stats_command(session: Session) -> None:
    """Say what each tier holds, and what all processes did on it.

    The table adds up hits, misses, bytes read, evictions, their mean age and errors of every process that has
    used the store since the volatile part of its catalog was made. Each process tells what it did about every
    half minute and when it ends: one that is killed loses at most the last half minute. A stack without a
    catalog keeps no totals ("-").

    With --json they stand in "total" of each tier; the counts beside it are those of this process, which from
    the command line are of opening the store alone.
    """
    found = session.store.stats()
    head = (
        *("tier", "role", "backend", "policy", "used", "capacity", "entries"),
        *("hits", "misses", "read", "evicted", "mean age", "errors", "state"),
    )
    rows = [
        (
            tier.tier,
            tier.role,
            tier.backend,
            tier.policy or "-",
            size_text(tier.used),
            size_text(tier.capacity),
            "-" if tier.entries is None else str(tier.entries),
            *_totals(tier.total),
            tier.state,
        )
        for tier in found.tiers
    ]
    lines = table([head, *rows], right=range(4, 13))
    session.record(
        "\n".join([*lines, f"{plural(found.roots, 'root')}, {plural(found.pins, 'pin')}"]),
        roots=found.roots,
        pins=found.pins,
        dropped_fills=found.dropped_fills,
        tiers=[_tier_stats(tier) for tier in found.tiers],
    )


def _totals(total: Tally | None) -> tuple[str, ...]:
    """Cells of the table from "hits" to "errors"."""
    if total is None:
        return ("-",) * 6
    return (
        str(total.hits),
        str(total.misses),
        size_text(total.bytes_read),
        str(total.evictions),
        "-" if total.evicted_age is None else f"{total.evicted_age:,.0f} s",
        str(total.errors),
    )


def _tier_stats(tier: TierStats) -> dict[str, Any]:
    import attrs

    record = attrs.asdict(tier)
    if (total := tier.total) is not None:
        sums = (attrs.fields(Tally).aged, attrs.fields(Tally).age)  # what the mean is made from
        record["total"] = attrs.asdict(total, filter=attrs.filters.exclude(*sums)) | {
            "evicted_age": total.evicted_age
        }
    return record
