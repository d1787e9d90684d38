"""`podsonar version` prints what runs."""

import platform
from importlib.metadata import version

import orjson
from click.testing import CliRunner

from cli.main import podsonar


def test_version_names_release_revision_and_platform() -> None:
    """Text and JSON agree; a build without a revision reports `unknown`, never a wrong one."""
    text = CliRunner().invoke(podsonar, ["version"]).output
    facts = orjson.loads(CliRunner().invoke(podsonar, ["version", "--json"]).output)
    release, _, revision = version("podsonar").partition("+")
    assert facts["version"] == release
    assert facts["revision"] == (revision.removeprefix("g") or "unknown")
    assert facts["python"] == platform.python_version()
    assert all(str(value) in text for value in facts.values())
