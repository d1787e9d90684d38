"""Command-line flags of every setting, made from the settings classes."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from podsonar.settings_sources import environment_name, flag_name, leaves, load

SOURCES = "podsonar.sources"  # in a command's context: the file and the flags that its settings came from


def format_default(default: object) -> str:
    """A default as `--help` shows it."""
    if isinstance(default, list):
        return ",".join(map(str, default)) or "none"
    return str(default) if default not in ("", None) else "none"


def settings_options(cls: type[msgspec.Struct]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: adds `--config` and a flag a setting, and passes the loaded settings as `settings`."""
    paths = {f"setting_{number}": path for number, (path, _kind, _default) in enumerate(leaves(cls))}

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(**given: Any) -> Any:  # noqa: ANN401
            config: Path | None = given.pop("config")
            flags = {path: given.pop(name) for name, path in paths.items()}
            present = {path: text for path, text in flags.items() if text is not None}
            click.get_current_context().meta[SOURCES] = (config, present)
            return function(settings=load(cls, config, os.environ, present), **given)

        decorated: Callable[..., Any] = wrapper
        for name, (path, _kind, default) in reversed(list(zip(paths, leaves(cls), strict=True))):
            text = f"{'.'.join(path)} [env {environment_name(path)}; default {format_default(default)}]"
            decorated = click.option(flag_name(path), name, help=text, metavar="VALUE")(decorated)
        return click.option(
            "--config",
            type=click.Path(path_type=Path),
            envvar="PODSONAR_CONFIG",
            help="YAML file of settings [env PODSONAR_CONFIG].",
        )(decorated)

    return decorate
