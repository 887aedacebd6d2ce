"""The examples in a command's help: printed one a line and never wrapped, so that each can be copied."""

from __future__ import annotations

from typing import Any, Final

import typer
from typer.core import TyperCommand

_HEADING: Final = "Examples:\n"


class CommandWithExamples(TyperCommand):
    """A command whose help ends in the lines after `Examples:` of its docstring."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        text, _, examples = (options.get("help") or "").partition(_HEADING)
        super().__init__(*arguments, **{**options, "help": text.rstrip()})
        self.examples = [line.strip() for line in examples.splitlines() if line.strip()]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, and the examples after it."""
        super().format_help(ctx, formatter)
        if self.examples:
            typer.echo("\n".join([" Examples:", *(f"   {line}" for line in self.examples), ""]))


def show_examples(app: typer.Typer) -> None:
    """Let all commands of an app, and of its groups, print their examples."""
    for command in app.registered_commands:
        command.cls = CommandWithExamples
    for group in app.registered_groups:
        if group.typer_instance is not None:
            show_examples(group.typer_instance)
