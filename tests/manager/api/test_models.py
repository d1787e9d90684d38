"""What is made from the API's document is what the checked-in document makes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.manager.conftest import CLIENT, Running

ROOT = Path(__file__).resolve().parents[3]
MADE = ROOT / "manager" / "schema"


@pytest.mark.long
def test_models_and_served_document_are_made_from_the_official_one(tmp_path: Path) -> None:
    """`make models` changes nothing."""
    subprocess.run([sys.executable, str(ROOT / "deploy" / "api_models.py"), str(tmp_path)], check=True, cwd=ROOT)
    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    there = {path.relative_to(MADE): path.read_bytes() for path in (MADE / "models").glob("*.py")}
    there[Path("openapi.json")] = (MADE / "openapi.json").read_bytes()
    assert made == there


def test_served_document_is_the_checked_in_one_and_the_page_shows_it(standing: Running) -> None:
    """Neither needs a key: generators fetch it."""
    document = CLIENT.get(f"{standing.url}/openapi.json")
    assert (document.status_code, document.headers["content-type"]) == (200, "application/json")
    assert document.content == (MADE / "openapi.json").read_bytes()
    page = CLIENT.get(f"{standing.url}/docs")
    assert (page.status_code, "openapi.json" in page.text) == (200, True)
