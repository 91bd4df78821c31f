"""The group itself, and what its commands share: addresses, who asks, and records."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from attrs import frozen

from ziggurat.command import Session, group, printable, size_text
from ziggurat.errors import ConfigError

if TYPE_CHECKING:
    from ziggurat_s3.files import FileFailure, FileResult, S3Files

__all__ = ["Address", "Place", "address_argument", "asking", "printed", "s3", "time_text"]

F = TypeVar("F", bound=Callable[..., Any])


@group(
    "s3",
    examples="""
ziggurat s3 ls s3://vault/2026/                    what is there
ziggurat s3 up report.pdf s3://vault/2026/         a file, or a whole folder
ziggurat s3 down s3://vault/2026/ --to 2026        and back
ziggurat s3 ls --tier archive s3://vault           who and where as a tier says; else as AWS tools find it
""",
)
def s3() -> None:
    """Work with files on any S3 service, without Ziggurat's keys."""


@frozen
class Address:
    """Where something is on S3.

    Attributes:
        bucket: Its name.
        key: The key as it was written, "" for the bucket.
    """

    bucket: str
    key: str

    @property
    def directory(self) -> bool:
        """It is written as a directory: with a slash at its end, or as a bucket alone."""
        return not self.key or self.key.endswith("/")

    @property
    def name(self) -> str:
        """The last part of its key."""
        return self.key.rstrip("/").rpartition("/")[2]

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @classmethod
    def read(cls, text: str) -> Address:
        """Read ``s3://bucket/key``; the key is taken as it is, nothing in it is decoded.

        Raises:
            BadParameter: It is something else.
        """
        scheme, _, rest = text.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise click.BadParameter(f"{text!r} is no address: write s3://bucket/key")
        return cls(bucket, key)


def address_argument(name: str, *, many: bool = False) -> Callable[[F], F]:
    """An argument that is an address, or several.

    Args:
        name: Of the argument.
        many: At least one, and any number.
    """
    text = "s3://BUCKET/KEY" + "..." * many
    return click.argument(name, type=Address.read, nargs=-1 if many else 1, required=True, metavar=text)


@frozen
class Place:
    """The service that was named on the command line.

    Attributes:
        tier: Name of a tier whose options say where and who, "" for none.
        given: Options of a connection by their names.
    """

    tier: str
    given: dict[str, Any]

    def files(self, session: Session) -> S3Files:
        """The file operations on it.

        Raises:
            ConfigError: There is no such tier, or the options cannot be used.
        """
        from ziggurat_s3._connection import ConnectionOptions
        from ziggurat_s3.files import S3Files

        if not self.tier:
            try:
                return S3Files(ConnectionOptions(**self.given))
            except (TypeError, ValueError) as error:
                raise ConfigError(f"{error}") from error
        if self.given:
            raise click.UsageError("--tier says it all: give it alone")
        tiers = dict(session.configured("s3"))
        if self.tier not in tiers:
            raise ConfigError(f"no s3 tier is named {self.tier!r}: see 'ziggurat config show'")
        return S3Files(tiers[self.tier])


def asking(function: F) -> F:
    """Give a command the options that say where and who, as one argument `place`."""

    def gathered(*args: Any, **kwargs: Any) -> Any:
        given = {
            "endpoint_url": kwargs.pop("endpoint_url"),
            "region_name": kwargs.pop("region"),
            "profile_name": kwargs.pop("profile"),
            "anonymous": kwargs.pop("anonymous"),
        }
        place = Place(kwargs.pop("tier"), {name: value for name, value in given.items() if value})
        return function(*args, place=place, **kwargs)

    gathered.__doc__ = function.__doc__
    gathered.__name__ = function.__name__
    for option in (
        click.option("--anonymous", is_flag=True, help="Do not sign: public buckets."),
        click.option("--profile", default="", metavar="NAME", help="Profile of the AWS configuration files."),
        click.option("--region", default="", metavar="NAME", help="Region."),
        click.option("--endpoint-url", default="", metavar="URL", help="Address of the service."),
        click.option(
            "--tier", default="", metavar="NAME", help="Where and who as this tier of the stack says."
        ),
    ):
        gathered = option(gathered)
    return gathered  # type: ignore[return-value] # the same command with five options more


def time_text(time: datetime | None) -> str | None:
    """A time as ISO 8601, None for none."""
    return time.isoformat() if time is not None else None


_SIGNS = {
    "uploaded": "up",
    "downloaded": "down",
    "copied": "copied",
    "moved": "moved",
    "removed": "removed",
    "made": "made",
    "skipped": "equal",
}


def printed(session: Session) -> Callable[[FileResult | FileFailure], None]:
    """A callback that prints each result as a record and each failure as an error."""

    def show(one: FileResult | FileFailure) -> None:
        from ziggurat_s3.files import FileFailure

        if isinstance(one, FileFailure):
            session.fail(one.error, path=one.address)
            return
        left: Path | str = one.local_path or one.source
        where = {
            "downloaded": f"{one.address} -> {left}",
            "uploaded": f"{left} -> {one.address}" if left else one.address,
        }.get(one.action, f"{left} -> {one.address}" if one.source else one.address)
        session.record(
            f"{_SIGNS[one.action]:<8}{size_text(one.size):>9}  {printable(where)}",
            action=one.action,
            address=one.address,
            bucket=one.bucket,
            key=one.key,
            size=one.size,
            e_tag=one.e_tag,
            last_modified=time_text(one.last_modified),
            path=str(one.local_path) if one.local_path is not None else None,
            source=one.source or None,
            checked=one.checked or None,
        )

    return show
