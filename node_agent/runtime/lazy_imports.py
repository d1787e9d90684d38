"""What the agent that stays does not import, or not before it is used: memory that every node would hold for nothing.

Nothing is imported here that is to be spared: this comes before everything else.
"""

import sys
import threading
from types import ModuleType

# Libraries that msgspec, structlog, httpx and httpcore take along where they are installed, and do without elsewhere.
LEFT_OUT = ("rich", "click", "greenlet", "anyio", "typing_extensions")

# Modules that a library imports by name and uses in functions that no agent calls, or calls once in a blue moon:
# structlog's coroutines, http.server's and calendar's pages, names of hosts beyond ASCII, sources for a traceback.
LATER = ("asyncio", "ast", "html", "idna", "locale", "tokenize")

ONE_AT_A_TIME = threading.Lock()


class LazyModule(ModuleType):
    """A module whose first use imports it; importlib's LazyLoader would already do so when it is imported again."""

    def __getattr__(self, name: str) -> object:
        """What the module itself has under that name."""
        with ONE_AT_A_TIME:  # or a second thread would forget what the first has imported by now
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
        __import__(self.__name__)
        return getattr(sys.modules[self.__name__], name)


def install() -> None:
    """Imports of what is left out fail from now on, as where it is not installed; others wait for their first use."""
    sys.modules.update(dict.fromkeys(LEFT_OUT))  # type: ignore[arg-type]  # None: the import system's own way
    sys.modules.update({name: LazyModule(name) for name in LATER if name not in sys.modules})
