"""``ziggurat s3 uploads ls`` and ``rm``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ziggurat.command import Session, command, group, pass_session, plural, printable, size_text
from ziggurat_s3._options import DAY
from ziggurat_s3.commands._group import Address, Place, address_argument, asking, time_text

if TYPE_CHECKING:
    from ziggurat_s3.files import UnfinishedUpload

__all__ = ["uploads"]


@group(
    "uploads",
    examples="""
ziggurat s3 uploads ls s3://vault     what was begun and is not whole, and for how long nobody worked on it
ziggurat s3 uploads rm s3://vault     end what nobody worked on for a day
""",
)
def uploads() -> None:
    """Find and end large uploads that a killed process left behind; a tier's: 'ziggurat s3 clean'."""


@command(
    "ls",
    within=uploads,
    examples="""
ziggurat s3 uploads ls s3://vault               of a bucket
ziggurat s3 uploads ls s3://vault/2026 --json   of a directory or a file, one JSON object a line
""",
)
@address_argument("addresses", many=True)
@asking
@pass_session
def ls(session: Session, addresses: tuple[Address, ...], place: Place) -> None:
    """List uploads that are not complete: when the last part arrived, how much is there, and of what.

    They may be under way. A service shows them nowhere else, and may charge for their parts.
    """
    for address in addresses:
        with session.attempt(str(address)):
            for one in place.files(session).ls_uploads(address.bucket, address.key):
                when = f"{one.last_part or one.begun:%Y-%m-%d %H:%M}"
                held = f"{size_text(one.size):>9}  {plural(one.parts, 'part')}"
                session.record(f"{when}  {held}  {printable(one.address)}", **_values(one))


@command(
    "rm",
    within=uploads,
    examples="""
ziggurat s3 uploads rm s3://vault                            untouched for a day
ziggurat s3 uploads rm --older-than 3600 s3://vault/2026     of a directory or a file, untouched for an hour
""",
)
@address_argument("addresses", many=True)
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    default=DAY,
    show_default=True,
    metavar="SECONDS",
    help="Since a part of it last arrived.",
)
@asking
@pass_session
def rm(session: Session, addresses: tuple[Address, ...], older_than: float, place: Place) -> None:
    """End uploads that nobody goes on with; 'ziggurat s3 uploads ls' shows which there are.

    Nothing but its age tells such an upload from one under way, so let SECONDS be longer than any part takes.
    """

    def ended(one: UnfinishedUpload) -> None:
        session.record(
            f"ended   {size_text(one.size):>9}  {printable(one.address)}", action="ended", **_values(one)
        )

    for address in addresses:
        with session.attempt(str(address)):
            place.files(session).rm_uploads(
                address.bucket, address.key, older_than=older_than, upload_callback=ended
            )


def _values(one: UnfinishedUpload) -> dict[str, Any]:
    return {
        "address": one.address,
        "bucket": one.bucket,
        "key": one.key,
        "upload_id": one.upload_id,
        "begun": time_text(one.begun),
        "last_part": time_text(one.last_part),
        "age": round(one.age),
        "parts": one.parts,
        "size": one.size,
    }
