"""The table of fields is that of the Kubernetes API, and what it calls free text is what people write as they like."""

import subprocess
import sys
from pathlib import Path

import pytest

from collector.inventory.field_table import FREE_TEXT, TABLE, all_free_paths, fields_of, free_paths, types
from collector.k8s.kinds import KINDS


def test_table_has_every_field_of_the_models_and_no_other(repository: Path) -> None:
    """Nothing structural is lost to an update of the library: the table is what its models say, byte for byte."""
    script = repository / "deploy/field_table.py"
    written = subprocess.run([sys.executable, str(script)], capture_output=True, check=True, timeout=60).stdout
    assert written == TABLE.read_bytes()


def test_every_listed_kind_is_in_the_table() -> None:
    """A kind that is listed is redacted by its own fields, and no field leads to a type that is missing."""
    assert {kind.name for kind in KINDS} <= types().keys()
    for kind in KINDS:
        assert {"metadata", "spec", "status"} <= fields_of(kind.name, ()).known.keys()


@pytest.mark.parametrize("name", FREE_TEXT)
def test_field_of_free_text_exists(name: str) -> None:
    """No rule is for a field that the API does not have: a name that was mistyped would protect nothing."""
    type_name, field = name.split(".")
    assert field in types()[type_name]


@pytest.mark.parametrize(
    ("kind", "path", "rule"),
    [
        ("Pod", "spec.containers.args", "args"),
        ("Pod", "spec.ephemeralContainers.command", "command"),
        ("Pod", "spec.containers.lifecycle.preStop.exec.command", "exec_command"),
        ("Pod", "status.containerStatuses.lastState.terminated.message", "message"),
        ("Pod", "spec.volumes.ephemeral.volumeClaimTemplate.metadata.annotations", "annotation"),
        ("CronJob", "spec.jobTemplate.spec.template.spec.initContainers.env.value", "env"),
        ("StatefulSet", "spec.volumeClaimTemplates.status.conditions.message", "message"),
        ("Node", "status.config.error", "message"),
        ("Service", "status.conditions.message", "message"),
        ("Namespace", "metadata.annotations", "annotation"),
    ],
)
def test_path_of_free_text_has_its_rule(kind: str, path: str, rule: str) -> None:
    """Wherever a type is used, in pods and in templates of every depth, its free text is known."""
    assert dict(free_paths(kind))[path] == rule
    assert all_free_paths()[path] == rule
