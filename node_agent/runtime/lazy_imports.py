"""Blocks imports that the agent never needs and delays those it rarely needs, to save memory on every node.

Must be installed before anything else is imported.
"""

import sys
import threading
from types import ModuleType

# Optional dependencies of msgspec, structlog, httpx and httpcore.
BLOCKED = ("rich", "click", "greenlet", "anyio", "typing_extensions")

# Modules that libraries import at the top and use only in functions that the agent calls rarely or never: structlog's
# coroutines, pages of http.server and calendar, non-ASCII host names, source lines of tracebacks.
LAZY = ("asyncio", "ast", "html", "idna", "locale", "tokenize")

ONE_AT_A_TIME = threading.Lock()


class LazyModule(ModuleType):
    """A module that is imported on first attribute access; importlib's LazyLoader would load it on a second import."""

    def __getattr__(self, name: str) -> object:
        """Import the module and return its attribute."""
        with ONE_AT_A_TIME:  # a second thread must not remove what the first has just imported
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
        __import__(self.__name__)
        return getattr(sys.modules[self.__name__], name)


def install() -> None:
    """Make imports of blocked modules fail as if not installed, and imports of lazy ones wait for their first use."""
    sys.modules.update(dict.fromkeys(BLOCKED))  # type: ignore[arg-type]  # None makes an import fail
    sys.modules.update({name: LazyModule(name) for name in LAZY if name not in sys.modules})
