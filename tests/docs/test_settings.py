"""docs/settings.md and the settings classes name the same settings with the same defaults."""

from pathlib import Path

import msgspec
import pytest

from cli.options import format_default
from podsonar.settings import (
    AgentSettings,
    CollectorSettings,
    DelegateSettings,
    LinuxAgentSettings,
    ManagerSettings,
)
from podsonar.settings_sources import leaves


def documented(repository: Path) -> dict[str, dict[str, str]]:
    """Default by setting, by section."""
    found: dict[str, dict[str, str]] = {}
    section = ""
    for line in (repository / "docs/settings.md").read_text().splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 6 and cells[1].startswith("`"):
            found.setdefault(section, {})[cells[1].strip("`")] = cells[3].strip("`")
    return found


def coded(cls: type[msgspec.Struct]) -> dict[str, str]:
    """The same of a settings class; booleans as YAML writes them."""
    return {
        ".".join(path): str(default).lower() if isinstance(default, bool) else format_default(default)
        for path, _kind, default in leaves(cls)
    }


@pytest.mark.parametrize(
    ("cls", "sections"),
    [
        (CollectorSettings, ["Collector and node agent"]),
        (AgentSettings, ["Collector and node agent", "Node agent"]),
        (ManagerSettings, ["Manager"]),
        (DelegateSettings, ["Delegate"]),
        (LinuxAgentSettings, ["Linux agent"]),
    ],
)
def test_documented_settings_and_defaults_are_those_of_the_code(
    repository: Path, cls: type[msgspec.Struct], sections: list[str]
) -> None:
    """Both ways: nothing undocumented, nothing that is documented only, and every default as it is."""
    pages = documented(repository)
    merged = {name: default for section in sections for name, default in pages[section].items()}
    assert merged == coded(cls)
