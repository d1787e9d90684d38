"""docs/redaction.md names exactly the rules of the code, and its examples are redacted by them."""

import re
from collections import Counter
from pathlib import Path

import pytest

from collector.inventory.redaction import COPIES, Redaction
from collector.inventory.redaction_rules import ARGUMENT_RULES, NAMES, SHAPE_RULES, redacted_text

WHOLE_RULES = {"env", "last_applied", "annotation", "http_header", "managed_fields"}


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
    coded = {rule for rule, _, _ in (*SHAPE_RULES, *ARGUMENT_RULES)}
    assert rows.keys() == coded | WHOLE_RULES


def test_rules_of_whole_values_are_those_that_an_object_meets(rows: dict[str, list[str]]) -> None:
    """An object with each of them is counted once under each, and nothing else of the table is."""
    redaction = Redaction()
    annotations = {COPIES[0]: "x", "example.com/api-token": "x"}
    probe = {"httpGet": {"httpHeaders": [{"name": "A", "value": "x"}]}}
    containers = [{"env": [{"name": "A", "value": "x"}], "livenessProbe": probe}]
    meta = {"annotations": annotations, "managedFields": [{}]}
    redaction.json([{"metadata": meta, "spec": {"containers": containers}}])
    assert redaction.counts == dict.fromkeys(WHOLE_RULES, 1)
    assert all(copy in rows["last_applied"][0] for copy in COPIES)


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
