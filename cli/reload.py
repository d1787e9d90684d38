"""SIGHUP: what can change in a running program is read again; what cannot is named in the log, and nothing ends.

Tokens and certificates need no signal: their files are checked before every use.
"""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec
import structlog

from cli.options import SOURCES
from podsonar.errors import PodsonarError
from podsonar.logs_and_probes import start_logs
from podsonar.settings import CollectorSettings, ManagerSettings
from podsonar.settings_sources import leaves, load, value_at

Settings = TypeVar("Settings", CollectorSettings, ManagerSettings)

log = structlog.get_logger()


def changed_keys(former: msgspec.Struct, fresh: msgspec.Struct) -> list[str]:
    """The keys whose values differ."""
    trees: list[Any] = [msgspec.to_builtins(one) for one in (former, fresh)]
    keys = [list(path) for path, _kind, _default in leaves(type(fresh))]
    return [".".join(key) for key in keys if value_at(trees[0], key) != value_at(trees[1], key)]


def reload_on_hangup(settings: Settings, also: Callable[[Settings], object] = lambda _fresh: None) -> None:
    """From now on SIGHUP reads the settings again: `log.*` counts at once, `also` is called with all of them."""
    config, flags = click.get_current_context().meta[SOURCES]

    def again() -> None:
        try:
            fresh = load(type(settings), config, os.environ, flags)
            start_logs(fresh.log.level, fresh.log.format)
            also(fresh)
        except PodsonarError as error:
            log.error("not_reloaded", error=str(error))  # noqa: TRY400 - a user's mistake, reported in one sentence
            return
        later = [key for key in changed_keys(settings, fresh) if not key.startswith("log.")]
        log.warning("reloaded", **({"needs_restart": ",".join(later)} if later else {}))

    # In a thread: a handler runs in the middle of whatever the program does, perhaps while it holds the log's lock.
    signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=again, name="reload", daemon=True).start())
