"""The process that stays: it takes its settings as they were checked, and imports nothing that it does not need."""

import subprocess
import sys

import pytest

from discovery.errors import UsageError
from discovery.settings import AgentSettings, Node
from node_agent import staying

LOADED = """
import sys
from node_agent import staying
staying.leave_out()
import node_agent.service
print(*(name for name, module in sys.modules.items() if module))
"""
NOT_HERE = {"alembic", "anyio", "bcc", "click", "cli", "h2", "kubernetes", "pydantic", "pygments", "rich", "sqlalchemy"}


def test_agent_that_stays_imports_no_library_it_has_no_use_for() -> None:
    """Every node holds what this process imports: no command line, no colours, no manager, no compiler."""
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    packages = {name.partition(".")[0] for name in done.stdout.split()}
    assert "httpx" in packages
    assert packages & NOT_HERE == set()


def test_settings_reach_the_agent_as_they_were_checked() -> None:
    """What is kept behind a descriptor comes out equal, whatever differs from the defaults."""
    settings = AgentSettings(node=Node(name="node-a", drain_seconds=0.5))
    assert staying.kept(staying.keep(settings)) == settings


def test_window_that_ends_before_it_starts_is_refused() -> None:
    """A window is named once; one that ends before it starts is a usage error."""
    windows = staying.one_window("2026-11-24T10:00:00Z", "2026-11-24T10:02:00Z")
    assert windows(0) is not None
    assert windows(0) is None
    with pytest.raises(UsageError, match="expected the end after the start"):
        staying.one_window("2026-11-24T10:02:00Z", "2026-11-24T10:00:00Z")
