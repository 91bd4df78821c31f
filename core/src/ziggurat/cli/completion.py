"""``completion``: the script that teaches a shell our commands."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

from ziggurat.cli._group import command
from ziggurat.cli._output import print_text

__all__ = ["completion_command"]


@command(
    "completion",
    examples="""
eval "$(ziggurat completion bash)"       in ~/.bashrc
eval "$(ziggurat completion zsh)"        in ~/.zshrc, after compinit
ziggurat completion fish | source        in ~/.config/fish/config.fish
""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell. Bash 4.4 or later."""
    found = get_completion_class(shell)
    assert found is not None, "click knows the shells of the choice"  # noqa: S101 -- for the type checker
    made = found(ctx.find_root().command, {}, "ziggurat", "_ZIGGURAT_COMPLETE")
    # The base class, because click's bash runs bash to learn its version.
    print_text(ShellComplete.source(made))
