"""Fixtures of the acceptance suite."""

from tests.node_agent.conftest import storm

__all__ = ["storm"]
