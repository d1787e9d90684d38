"""The process that stays: it takes its settings as they were checked, and imports nothing that it does not need."""

import subprocess
import sys

import pytest

from node_agent.runtime import entrypoint
from podsonar.errors import UsageError
from podsonar.model import Window
from podsonar.settings import AgentSettings, NodeSettings
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339

LOADED = """
import sys
from node_agent.runtime import lazy_imports
from podsonar.lazy_module import LazyModule
lazy_imports.install()
import node_agent.runtime.entrypoint, node_agent.runtime.app, httpcore
print(*(name for name, module in sys.modules.items() if module and not isinstance(module, LazyModule)))
"""
USED_LATER = """
import sys
from node_agent.runtime import lazy_imports
from podsonar.lazy_module import LazyModule
lazy_imports.install()
import html
import html as again
from html.entities import html5
print(html.escape("<"), again.unescape("&lt;"), html5["lt;"], isinstance(sys.modules["html"], LazyModule))
import asyncio
async def answer():
    return 42
print(asyncio.run(answer()), hasattr(asyncio, "no_such_name"))
"""
NOT_HERE = {
    "alembic",
    "anyio",
    "asyncio",
    "bcc",
    "click",
    "cli",
    "h2",
    "idna",
    "importlib.metadata",
    "kubernetes",
    "locale",
    "pydantic",
    "pygments",
    "rich",
    "sqlalchemy",
    "typing_extensions",
}


def printed(program: str) -> str:
    """What a program of its own prints."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_agent_that_stays_imports_no_library_it_has_no_use_for() -> None:
    """Every node holds what this process imports: no command line, no colours, no manager, no compiler, no asyncio."""
    modules = set(printed(LOADED).split())
    packages = {name.partition(".")[0] for name in modules}
    assert {"httpx", "structlog"} <= packages
    assert (packages | modules) & NOT_HERE == set()


def test_module_that_is_imported_later_is_the_module_itself_once_used() -> None:
    """Whoever imported it, before or after, in whatever way, has what the library has, and an absent name is absent."""
    assert printed(USED_LATER).splitlines() == ["&lt; < < False", "42 False"]


def test_settings_reach_the_agent_as_they_were_checked() -> None:
    """What is kept behind a descriptor comes out equal, whatever differs from the defaults; the version too."""
    settings = AgentSettings(node=NodeSettings(name="node-a", drain_seconds=0.5))
    assert entrypoint.read_handoff(entrypoint.write_handoff(settings, "1.2.3+abc")) == entrypoint.Handoff(
        settings, "1.2.3+abc"
    )


def test_window_that_ends_before_it_starts_is_refused() -> None:
    """A window is named once; one that ends before it starts is a usage error."""
    windows = entrypoint.given_windows(["2026-11-24T10:00:00Z", "2026-11-24T10:02:00Z"])
    assert windows(0) is not None
    assert windows(0) is None
    with pytest.raises(UsageError, match="expected the end after the start"):
        entrypoint.given_windows(["2026-11-24T10:02:00Z", "2026-11-24T10:00:00Z"])


def test_several_windows_come_in_order_without_those_that_are_over() -> None:
    """Each once; what a late agent has missed is left out, but for the last; windows that overlap are a usage error."""
    times = [f"2026-11-24T10:{minute:02}:00Z" for minute in (0, 2, 3, 5, 6, 8)]
    windows = entrypoint.given_windows(times)
    first = windows(0)
    assert first is not None
    late = windows(first.end_ns + 4 * 60 * NS_PER_SECOND)
    assert late is not None
    assert late.wire() == Window(parse_rfc3339(times[4]), parse_rfc3339(times[5])).wire()
    assert windows(0) is None
    with pytest.raises(UsageError, match="one after the other"):
        entrypoint.given_windows([*times[2:], *times[:2]])


def test_big_blocks_go_back_to_the_kernel_whatever_was_freed_before() -> None:
    """A libc may keep a freed block of 8 MiB below another one; with the threshold set, it holds none of it."""
    program = """
import gc, os
from node_agent.runtime import entrypoint
entrypoint.set_mmap_threshold()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
del [bytearray(b"x" * (16 << 20))][0]
before = resident()
blocks = [bytearray(b"x" * (8 << 20)) for _ in range(4)]
del blocks[:3]
print((resident() - before) >> 20)
"""
    assert int(printed(program)) < 12
