"""Help of the command line: examples a line each, `-h`, and `--version`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import stepwell
from stepwell_deploy.cli.app import app
from stepwell_deploy.cli.examples import CommandWithExamples


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield all commands of a group with their names."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = dict(commands(typer.main.get_command(app)))
EXAMPLES = [example for command in ALL.values() for example in command.examples]


@pytest.mark.parametrize("path", ALL)
def test_a_command_has_examples_that_are_printed_whole(path: tuple[str, ...]) -> None:
    command = ALL[path]
    assert isinstance(command, CommandWithExamples)
    assert command.examples
    for flag in ("-h", "--help"):
        lines = CliRunner().invoke(app, [*path, flag]).output.splitlines()
        assert [line.strip() for line in lines if line.strip() in command.examples] == command.examples


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_command_with_its_options(example: str) -> None:
    words = shlex.split(example.partition(" | ")[0])
    while words[0] != "stepwell":
        assert "=" in words.pop(0)
    names = max((name for name in ALL if tuple(words[1 : 1 + len(name)]) == name), key=len)
    with ALL[names].make_context("stepwell", words[1 + len(names) :]) as context:
        assert context.command is ALL[names]


def test_the_version_is_printed() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.output.split()) == (0, ["stepwell", stepwell.__version__])
