"""``ziggurat s3 bucket ls``, ``create``, ``rm`` and ``has``."""

from __future__ import annotations

import click

from ziggurat.command import Exit, Session, command, group, pass_session, printable
from ziggurat_s3.commands._group import Place, asking, time_text

__all__ = ["bucket"]

_NAMES = click.argument("names", nargs=-1, required=True, metavar="BUCKET...")


@group(
    "bucket",
    examples="""
ziggurat s3 bucket ls               the buckets of the account
ziggurat s3 bucket create vault     make one
""",
)
def bucket() -> None:
    """Look after buckets."""


@command("ls", within=bucket, examples="ziggurat s3 bucket ls")
@asking
@pass_session
def ls(session: Session, place: Place) -> None:
    """List the buckets of the account."""
    with session.attempt():
        for one in place.files(session).list_buckets():
            made = one.created.strftime("%Y-%m-%d %H:%M") if one.created is not None else ""
            session.record(
                f"{made:16}  {printable(one.name)}", bucket=one.name, created=time_text(one.created)
            )


@command("create", within=bucket, examples="ziggurat s3 bucket create vault")
@_NAMES
@asking
@pass_session
def create(session: Session, names: tuple[str, ...], place: Place) -> None:
    """Make buckets, in the region of the configuration."""
    for name in names:
        with session.attempt(name):
            place.files(session).create_bucket(name)
            session.record(f"made  {printable(name)}", bucket=name, action="made")


@command("rm", within=bucket, examples="ziggurat s3 bucket rm vault")
@_NAMES
@asking
@pass_session
def rm(session: Session, names: tuple[str, ...], place: Place) -> None:
    """Delete buckets that are empty."""
    for name in names:
        with session.attempt(name):
            place.files(session).delete_bucket(name)
            session.record(f"removed  {printable(name)}", bucket=name, action="removed")


@command("has", within=bucket, examples="ziggurat s3 bucket has vault && echo yes")
@_NAMES
@asking
@pass_session
def has(session: Session, names: tuple[str, ...], place: Place) -> None:
    """Say whether there are such buckets; exit 1 when one is not there."""
    for name in names:
        with session.attempt(name):
            there = place.files(session).bucket_exists(name)
            session.record(f"{'yes' if there else 'no'}  {printable(name)}", bucket=name, exists=there)
            if not there:
                session.ends_with(Exit.FAILED)
