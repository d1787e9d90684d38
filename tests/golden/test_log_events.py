"""Names and keys of log events, which alerts and searches depend on."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.golden.conftest import GoldenNames

PACKAGES = ("podsonar", "directory", "delivery", "cluster_api", "collector", "delegate", "node_agent", "manager", "cli")
LEVELS = ("debug", "info", "warning", "error", "exception", "critical")


def events(module: ast.Module) -> Iterator[str]:
    """Each call of a module's `log`: the event, its level, its keys in their order; `**` where they are computed."""
    for node in ast.walk(module):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS):
            continue
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "log":
            event = ast.literal_eval(node.args[0])
            yield " ".join((f"{event} {node.func.attr}:", *(keyword.arg or "**" for keyword in node.keywords)))


def test_recorded_log_events_are_still_there(golden_names: GoldenNames, repository: Path) -> None:
    """Every event of every program."""
    modules = [path for package in PACKAGES for path in (repository / package).rglob("*.py")]
    golden_names("log-events.txt", (line for path in modules for line in events(ast.parse(path.read_text()))))
