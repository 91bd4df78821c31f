"""``simulate`` and ``advise``: what policies and sizes would do with reads that were recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ziggurat.cli._group import command
from ziggurat.cli._output import plural, size_text, table
from ziggurat.cli._session import Session, pass_session

if TYPE_CHECKING:
    from ziggurat.engine.advice import Advice
    from ziggurat.engine.simulation import Outcome, TierOutcome
    from ziggurat.policy.simulation import Request

__all__ = ["advise_command", "simulate_command"]

_LAST = 200_000


def _size(_: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A number of bytes, or text with a unit."""
    from ziggurat.config import parse_size

    if value is None:
        return None
    try:
        size = parse_size(int(value) if value.isdecimal() else value)
    except ValueError as error:
        raise click.BadParameter(str(error), param=param) from error
    if size < 1:
        raise click.BadParameter("must be more than 0", param=param)
    return size


_TRACE = "CSV time,key,size[,op], or binary ids and sizes, plain, gzip or xz; else the store's log."
_trace = click.Path(exists=True, dir_okay=False, path_type=Path)


def _svg(_: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """A file that says what will be in it."""
    if value is not None and value.suffix.lower() != ".svg":
        raise click.BadParameter(
            f"it draws SVG, so name a file that ends in .svg: {str(value)!r}", param=param
        )
    return value


@command(
    "simulate",
    examples="""
ziggurat simulate --trace reads.csv --capacity "1 GB" --policy heat
ziggurat simulate --trace reads.csv     the caches of the stack
ziggurat simulate --json                the store's own access log
""",
)
@click.option("--trace", metavar="FILE", type=_trace, help=_TRACE)
@click.option(
    "--capacity", metavar="SIZE", callback=_size, help="One cache of that size instead of the stack."
)
@click.option("--policy", metavar="NAME", help="The policy of that cache; arc if none is named.")
@click.option("--persistent", is_flag=True, help="That cache outlives the process, as one on disk does.")
@pass_session
def simulate_command(
    session: Session, trace: Path | None, capacity: int | None, policy: str | None, persistent: bool
) -> None:
    """Replay a trace against one policy, or against all caches of the stack.

    The policies are the objects that decide in production. Nothing is opened and nothing is written.
    """
    from ziggurat.config import load
    from ziggurat.engine.simulation import model_of, models, simulate
    from ziggurat.plugin.registry import POLICIES, Registry

    if capacity is None and (policy is not None or persistent):
        raise click.UsageError("--policy and --persistent describe one cache: give its --capacity, too")
    policies = Registry(POLICIES)
    beneath = None
    if capacity is not None:
        caches = [model_of(policy or "arc", capacity, policies, persistent=persistent)]
        requests = _requests(session, trace, None)
    else:
        stack = load(session.config)
        caches = models(stack, policies)
        beneath = next((tier for tier in stack.tiers if tier.role != "cache"), None)
        requests = _requests(session, trace, stack.path)
    with session.progress("simulate", len(requests), "requests") as bar:
        found = simulate(requests, caches, beneath, bar)
    _outcome(session, found)


def _requests(
    session: Session, trace: Path | None, folder: Path | None, last: int | None = None
) -> list[Request]:
    from ziggurat.config import load
    from ziggurat.engine.accesslog import log_files
    from ziggurat.engine.traces import read_log, read_trace

    if trace is not None:
        return read_trace(trace)[-last if last is not None else 0 :]
    return read_log(log_files(folder or load(session.config).path), last)


def _outcome(session: Session, found: Outcome) -> None:
    import attrs

    head = ("tier", "policy", "capacity", "requests", "object misses", "byte misses", "fetched", "bill")
    lines = table([head, *(_row(tier) for tier in found.tiers)], right=range(2, 8))
    ends = [
        f"{plural(found.requests, 'read')} of {size_text(found.bytes)}; "
        f"no cache answered {found.object_miss_ratio:.2%} of them, {found.byte_miss_ratio:.2%} of the bytes"
    ]
    if found.latency is not None:
        ends.append(f"expected latency: {found.latency * 1000:,.3f} ms a read")
    if found.bill is not None:
        ends.append(f"expected bill: {found.bill:,.4f}")
    session.record("\n".join([*lines, *ends]), **attrs.asdict(found))


def _row(tier: TierOutcome) -> tuple[str, ...]:
    return (
        tier.tier,
        tier.policy or "-",
        size_text(tier.capacity),
        str(tier.requests),
        f"{tier.object_miss_ratio:.4f}",
        f"{tier.byte_miss_ratio:.4f}",
        size_text(tier.bytes_fetched),
        "-" if tier.bill is None else f"{tier.bill:,.4f}",
    )


@command(
    "advise",
    examples="""
ziggurat advise                              from the store's own access log
ziggurat advise --trace reads.csv --plot mrc.svg
ziggurat advise --policy arc --policy heat   only these
""",
)
@click.option("--trace", metavar="FILE", type=_trace, help=_TRACE)
@click.option(
    "--policy", "names", metavar="NAME", multiple=True, help="A policy to try; otherwise all that fit."
)
@click.option(
    "--last", metavar="COUNT", type=click.IntRange(1), default=_LAST, show_default=True, help="Newest reads."
)
@click.option(
    "--plot",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_svg,
    help="Draw the curves as SVG: FILE.svg, the next tier's beside it.",
)
@pass_session
def advise_command(
    session: Session, trace: Path | None, names: Sequence[str], last: int, plot: Path | None
) -> None:
    """Try policies and capacities for each cache on recorded reads, and recommend configuration lines."""
    from ziggurat.config import load
    from ziggurat.config.model import PolicyConfig
    from ziggurat.config.policies import load_policy
    from ziggurat.engine.advice import FACTORS, advise, candidates
    from ziggurat.engine.simulation import Model, models
    from ziggurat.plugin.registry import POLICIES, Registry

    stack, policies = load(session.config), Registry(POLICIES)
    requests = _requests(session, trace, stack.path, last)
    caches = models(stack, policies)
    if not caches:
        raise click.UsageError("this stack has no cache, so there is nothing to advise on")
    wanted = {load_policy(name, policies)[0].name for name in names}

    def choose(model: Model) -> list[PolicyConfig]:
        found = candidates(policies, volatile=model.volatile)
        return [each for each in found if not wanted or each.provider.name in wanted]

    total = sum(len({p.provider.name for p in [*choose(one), one.policy]}) for one in caches)
    with session.progress("advise", total * len(FACTORS) * len(requests), "requests") as bar:
        advice = advise(requests, caches, choose, bar)
    for one in advice:
        _advice(session, one)
    if plot is not None:
        _draw(session, advice, plot)


def _curves(one: Advice) -> dict[str, list[tuple[float, float]]]:
    curves: dict[str, list[tuple[float, float]]] = {}
    for point in one.points:
        curves.setdefault(point.policy, []).append((float(point.capacity), point.byte_miss_ratio))
    return curves


def _advice(session: Session, one: Advice) -> None:
    import attrs

    from ziggurat.cli._plot import text_plot

    head = ("policy", "half", "now", "twice", "four times")
    names = list(dict.fromkeys(point.policy for point in one.points))
    rows = [
        (name, *(f"{one.at(name, factor).byte_miss_ratio:.4f}" for factor in (0.5, 1.0, 2.0, 4.0)))
        for name in names
    ]
    lines = [
        f"{one.tier}: {plural(one.requests, 'read')} came to it, {one.policy}, {size_text(one.capacity)}",
        *(f"  {line}" for line in table([head, *rows], right=range(1, 5))),
        "  byte miss ratio over the capacity, a quarter to four times the present one:",
        *(f"  {line}" for line in text_plot(_curves(one))),
        f"  {one.why}",
    ]
    if one.lines:
        lines += [f"  recommended for [[tier]] {one.tier}:", *(f"    {line}" for line in one.lines)]
    else:
        lines.append("  recommended: leave it as it is")
    session.record("\n".join(lines), **attrs.asdict(one), lines=list(one.lines))


def _draw(session: Session, advice: Sequence[Advice], path: Path) -> None:
    from ziggurat.cli._plot import svg_plot

    for number, one in enumerate(advice):
        place = path if number == 0 else path.with_name(f"{path.stem}-{one.tier}{path.suffix}")
        ticks = [
            (float(capacity), size_text(capacity)) for capacity in sorted({p.capacity for p in one.points})
        ]
        drawn = svg_plot(
            _curves(one),
            title=f"{one.tier}: {plural(one.requests, 'read')}",
            x_label="capacity",
            y_label="byte miss ratio",
            ticks=ticks,
        )
        place.write_text(drawn, encoding="utf-8")
        session.record(f"drawn: {place}", path=str(place), tier=one.tier)
