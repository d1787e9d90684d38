"""docs/redaction.md names exactly the rules of the code, and its examples are redacted by them."""

import re
from collections import Counter
from pathlib import Path

import pytest

from collector.inventory.field_table import ANY_TYPE, COPIES, FREE_TEXT, NEVER_KEPT
from collector.inventory.redacted_fields import SECRET_LABELS, WELL_KNOWN
from collector.inventory.redacted_text import ARGUMENT_RULES, NAMES, SHAPE_RULES, WORD_RULES, redacted_text
from collector.inventory.redaction import Redaction

FIELD_RULES = {*FREE_TEXT.values(), *ANY_TYPE.values()}
WHOLE_RULES = {*FIELD_RULES, "last_applied", "managed_fields", "unknown_field", "label", "selector", "nul"}


@pytest.fixture
def rows(repository: Path) -> dict[str, list[str]]:
    """The cells of each rule's row."""
    found = {}
    for line in (repository / "docs/redaction.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            found[cells[0].strip("`")] = cells[1:]
    return found


def test_every_rule_is_documented_and_no_other(rows: dict[str, list[str]]) -> None:
    """Both ways: the rules that the code can write, and those of the tables."""
    assert rows.keys() == {rule for rule, *_ in SHAPE_RULES} | {*WORD_RULES, *ARGUMENT_RULES} | WHOLE_RULES


def test_rules_that_a_setting_cannot_lift_are_documented(rows: dict[str, list[str]]) -> None:
    """`keep` and `patterns` lift no rule that is marked so, and every other one of a field."""
    never = {rule for rule in WHOLE_RULES if rows[rule][1] == "never"}
    assert never == {*NEVER_KEPT, "last_applied", "managed_fields", "label", "selector", "nul"}


def test_rules_of_whole_values_are_those_that_an_object_meets(rows: dict[str, list[str]]) -> None:
    """An object with each of them is counted once under each, and nothing else of the table is."""
    redaction = Redaction()
    annotations = {COPIES[0]: "x", "example.com/team": "x"}
    probe = {"httpGet": {"httpHeaders": [{"name": "A", "value": "x"}]}, "exec": {"command": ["x"]}}
    container = {
        "env": [{"name": "A", "value": "x"}],
        "command": ["x"],
        "args": ["x"],
        "livenessProbe": probe,
        "securityContext": {"windowsOptions": {"gmsaCredentialSpec": "x"}},
    }
    volumes = [{"csi": {"volumeAttributes": {"a": "x"}}}]
    meta = {"annotations": annotations, "managedFields": [{}], "labels": {"password": "x"}}
    spec = {"containers": [container], "volumes": volumes, "tomorrow": "x", "nodeSelector": {"password": "x"}}
    redaction.json("Pod", [{"metadata": meta, "spec": spec, "status": {"message": "x", "reason": "\0"}}])
    assert redaction.counts == dict.fromkeys(WHOLE_RULES, 1)
    assert all(copy in rows["last_applied"][0] for copy in COPIES)


def test_annotations_and_labels_with_a_rule_of_their_own_are_documented(repository: Path) -> None:
    """The short list of annotations that leave, and the names of labels whose values do not."""
    page = (repository / "docs/redaction.md").read_text()
    assert [key for key in (*WELL_KNOWN, *SECRET_LABELS) if f"`{key}`" not in page] == []


def test_examples_are_redacted_by_their_rule(rows: dict[str, list[str]]) -> None:
    """Each example of the document is redacted by the rule of its row."""
    for rule, cells in rows.items():
        if rule not in WHOLE_RULES:
            example = re.sub(r"^`|`$", "", cells[1])
            counts: Counter[str] = Counter()
            assert "[redacted:" in redacted_text(example, counts)
            assert rule in counts


def test_names_of_secrets_are_documented(rows: dict[str, list[str]]) -> None:
    """Each word that marks a name as a secret's is in the row of arguments."""
    said = set(re.split(r", | or | contains ", rows["argument"][0]))
    words = {name.replace("_", " ").replace("-", " ") for name in NAMES}
    assert {word for word in words if " " in word or not word.endswith("key")} <= said
