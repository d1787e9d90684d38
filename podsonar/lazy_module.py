"""Modules that are imported when they are first used: what a library imports at its top and a program rarely needs."""

import sys
import threading
from collections.abc import Iterable
from types import ModuleType

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


def delay_imports(names: Iterable[str]) -> None:
    """Make imports of these modules wait for their first use; those that are imported already stay."""
    sys.modules.update({name: LazyModule(name) for name in names if name not in sys.modules})
