"""Blocks imports that the agent never needs and delays those it rarely needs, to save memory on every node.

Must be installed before anything else is imported.
"""

import sys

from podsonar.lazy_module import delay_imports

# Optional dependencies of msgspec, structlog, httpx and httpcore; of shutil and zipfile, for archives.
BLOCKED = ("rich", "click", "greenlet", "anyio", "typing_extensions", "bz2", "lzma")

# Modules that libraries import at the top and use only in functions that the agent calls rarely or never: structlog's
# coroutines and loggers of the standard library, files and pages of http.server and calendar, non-ASCII host names,
# source lines of tracebacks, packages in archives, what msgspec knows of types for documents.
LAZY = (
    "asyncio",
    "ast",
    "html",
    "idna",
    "locale",
    "mimetypes",
    "msgspec.inspect",
    "structlog.stdlib",
    "structlog.threadlocal",
    "tokenize",
    "zipfile",
)


def install() -> None:
    """Make imports of blocked modules fail as if not installed, and imports of lazy ones wait for their first use."""
    sys.modules.update(dict.fromkeys(BLOCKED))  # type: ignore[arg-type]  # None makes an import fail
    delay_imports(LAZY)
