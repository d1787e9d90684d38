"""A group of commands of which some are imported only when they are asked for."""

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """`later` names commands as `module:name`: a node agent never imports the manager, nor what draws tables."""

    def __init__(self, *given: Any, later: Mapping[str, str], **named: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*given, **named)
        self.later = later

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command: those defined here, then those of `later` in their order."""
        return [*super().list_commands(ctx), *self.later]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now; None where there is none."""
        place = self.later.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        module, name = place.split(":")
        command = getattr(importlib.import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{place} is {type(command).__name__}, expected a click command")
        return command
