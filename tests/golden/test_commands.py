"""Commands, arguments and options that scripts use: one that goes or changes its type is named."""

from collections.abc import Iterator

import click

from cli.main import podsonar
from tests.golden.conftest import GoldenNames


def parameter_name(parameter: click.Parameter) -> str:
    """Names and type of one argument or option, and whether it has to be given."""
    names = "/".join((*parameter.opts, *parameter.secondary_opts))
    kind = "|".join(parameter.type.choices) if isinstance(parameter.type, click.Choice) else parameter.type.name
    return f"{names} {kind}{' required' if parameter.required else ''}"


def names(words: tuple[str, ...], command: click.Command) -> Iterator[str]:
    """A command and its parameters, then its subcommands; the flags of settings are those of docs/settings.md."""
    line = " ".join(words)
    yield line
    for parameter in command.params:
        is_setting = (parameter.name or "").startswith("setting_")
        yield f"{line} <settings>" if is_setting else f"{line} {parameter_name(parameter)}"
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            if not below.hidden:
                yield from names((*words, name), below)


def test_recorded_commands_and_options_are_still_there(golden_names: GoldenNames) -> None:
    """The whole tree below `podsonar`."""
    golden_names("commands.txt", names(("podsonar",), podsonar))
