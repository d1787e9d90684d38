"""docs/api.md names operations that the API's document has."""

import re
from pathlib import Path

from manager.schema.document import operations

NOT_OPERATIONS = {"sort"}


def test_operations_whose_meaning_is_explained_are_the_documents(repository: Path) -> None:
    """Each name in the table of what the document leaves open."""
    _, _, table = (repository / "docs" / "api.md").read_text().partition("## What the document leaves open")
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ") and not line.startswith("|--")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert len(named) > 30
    assert named - NOT_OPERATIONS <= {one.id for one in operations()}
