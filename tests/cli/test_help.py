"""Lists of commands, on a terminal of 80 columns."""

from collections.abc import Iterator

import click
from click.testing import CliRunner

from cli.main import podsonar


def groups(command: click.Command, *words: str) -> Iterator[tuple[str, ...]]:
    """The words of each group of commands."""
    if isinstance(command, click.Group):
        yield words
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from groups(found, *words, name)


def test_every_command_is_described_in_a_line_that_ends() -> None:
    """No description is cut: its first sentence fits."""
    found = list(groups(podsonar))
    assert len(found) > 10
    for words in found:
        shown = CliRunner().invoke(podsonar, [*words, "--help"], terminal_width=80).output
        _, _, commands = shown.partition("Commands:\n")
        assert commands, words
        assert [line for line in commands.splitlines() if not line.endswith(".") or line.endswith("...")] == []
