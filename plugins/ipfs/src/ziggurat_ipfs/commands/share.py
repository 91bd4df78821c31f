"""``ziggurat share``: addresses for people without this program."""

from __future__ import annotations

import click

from ziggurat.command import Session, command, pass_session
from ziggurat.content import Cid
from ziggurat.errors import ConfigError
from ziggurat_ipfs.gateway._options import check_url
from ziggurat_ipfs.gateway._share import share_urls

__all__ = ["share"]


def _checked(_: click.Context, __: click.Parameter, urls: tuple[str, ...]) -> tuple[str, ...]:
    for url in urls:
        try:
            check_url(url)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
    return urls


@command(
    "share",
    examples="""
ziggurat share bafy...                      at the gateways of this stack
ziggurat share bafy.../photos/a.jpg         a file in a directory
ziggurat share --gateway https://gateway.example bafy...
""",
)
@click.argument("refs", nargs=-1, required=True, metavar="CID[/PATH]...")
@click.option(
    "--gateway", "gateways", multiple=True, metavar="URL", callback=_checked,
    help="Instead of the gateways of this stack; may be repeated.",
)  # fmt: skip
@click.option(
    "--style", type=click.Choice(["path", "subdomain", "both"]), default="both", show_default=True,
    help="/ipfs/CID, or CID.ipfs.HOST, which keeps web sites apart in a browser.",
)  # fmt: skip
@pass_session
def share(session: Session, refs: tuple[str, ...], gateways: tuple[str, ...], style: str) -> None:
    """Print the addresses at which a gateway gives blobs to anybody.

    Nothing is sent or asked: the address works once the gateway can find the blob, for instance because a
    Kubo node of yours keeps it.
    """
    urls = gateways or tuple(url for tier in session.tiers("gateway") for url in tier.options.urls)
    if not urls:
        raise ConfigError("no tier of this stack has gateways; name one: --gateway https://gateway.example")
    for ref in refs:
        with session.attempt(ref):
            bare = ref.removeprefix("ipfs://").removeprefix("/ipfs/")
            text, _, path = bare.partition("/")
            cid = Cid.parse(text)
            for gateway in dict.fromkeys(url.rstrip("/") for url in urls):
                for shared in share_urls(gateway, cid, path):
                    if style in ("both", shared.style):
                        session.record(
                            shared.url, cid=str(cid), path=path, url=shared.url, style=shared.style
                        )
