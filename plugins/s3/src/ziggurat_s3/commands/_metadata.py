"""``ziggurat s3 metadata get`` and ``set``."""

from __future__ import annotations

import click

from ziggurat.command import Session, command, group, pass_session, printable, size_text
from ziggurat_s3.commands._files import pairs
from ziggurat_s3.commands._group import Address, Place, address_argument, asking, time_text

__all__ = ["metadata"]


@group(
    "metadata",
    examples="""
ziggurat s3 metadata get s3://vault/a.pdf
ziggurat s3 metadata set s3://vault/a.pdf author=me year=2026
""",
)
def metadata() -> None:
    """Look at what travels with a file, and say it anew."""


@command("get", within=metadata, examples="ziggurat s3 metadata get s3://vault/a.pdf")
@address_argument("addresses", many=True)
@asking
@pass_session
def get(session: Session, addresses: tuple[Address, ...], place: Place) -> None:
    """Say what the service knows of files: size, time, type, and the metadata that was given."""
    for address in addresses:
        with session.attempt(str(address)):
            _shown(session, place, address)


@command(
    "set",
    within=metadata,
    examples="""
ziggurat s3 metadata set s3://vault/a.pdf author=me year=2026    all of it: what is left out is gone
ziggurat s3 metadata set s3://vault/a --content-type text/plain
""",
)
@address_argument("address")
@click.argument("given", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--content-type", default=None, metavar="TYPE", help="Media type; default: as it is.")
@asking
@pass_session
def set_(
    session: Session, address: Address, given: tuple[str, ...], content_type: str | None, place: Place
) -> None:
    """Say all metadata of a file anew; its content and its media type stay."""
    said = pairs(given)
    with session.attempt(str(address)):
        place.files(session).set_metadata(address.bucket, address.key, said, content_type=content_type)
        _shown(session, place, address)


def _shown(session: Session, place: Place, address: Address) -> None:
    info = place.files(session).get_metadata(address.bucket, address.key)
    said = "".join(f"  {name}={value}" for name, value in sorted(info.metadata.items()))
    session.record(
        printable(f"{info.address}  {size_text(info.size)}  {info.content_type or '-'}{said}"),
        address=info.address,
        bucket=info.bucket,
        key=info.key,
        size=info.size,
        e_tag=info.e_tag,
        last_modified=time_text(info.last_modified),
        content_type=info.content_type,
        metadata=dict(info.metadata),
        storage_class=info.storage_class or None,
        encryption=info.encryption or None,
        version_id=info.version_id or None,
    )
