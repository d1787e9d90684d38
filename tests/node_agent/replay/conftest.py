"""What replays are given."""

from pathlib import Path

import pytest

from node_agent.capture.files import capture_file
from tests.node_agent.stages import capture, flow


@pytest.fixture
def taken(tmp_path: Path) -> Path:
    """A capture of one flow from pod `web-1` to the service's address."""
    capture_file.write(tmp_path / "a.capture", capture([flow(7, "10.96.0.10", 23)]))
    return tmp_path / "a.capture"
