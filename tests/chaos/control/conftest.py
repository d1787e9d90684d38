"""Hosts for every test of the server sides."""

from tests.chaos.control.linux.conftest import host as host  # noqa: PLC0414 - fixtures
from tests.chaos.control.linux.conftest import new_host as new_host  # noqa: PLC0414
