"""Hosts and a database for every test of the server sides."""

from tests.chaos.control.linux.conftest import host as host  # noqa: PLC0414 - fixtures
from tests.chaos.control.linux.conftest import new_host as new_host  # noqa: PLC0414
from tests.manager.conftest import sqlite as sqlite  # noqa: PLC0414
