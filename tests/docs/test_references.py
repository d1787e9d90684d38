"""Documents, tests and modules that prose refers to exist, and the index of decisions is complete."""

import re
import subprocess
from pathlib import Path

import pytest

LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
PATH = re.compile(r"`([\w.-]+(?:/[\w.*-]+)+/?)`")
MERMAID = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)
MODULE = re.compile(r"[\w/]+\.(?:py|c)\b")
DOCUMENT = re.compile(r"(?<![\w/:.-])[\w.][\w./-]*\.md\b")
SOURCES = (
    ".py",
    ".c",
    ".h",
    ".js",
    ".css",
    ".html",
    ".sh",
    ".go",
    ".toml",
    ".yaml",
    ".tpl",
    ".txt",
    "Dockerfile",
    "Makefile",
)
RECORD = re.compile(r"^\| \[(\d{4})\]\((\d{4}-[\w-]+\.md)\) \| ([^|]+) \|([^|]*)\|$", re.MULTILINE)
GUIDES = ("docs/architecture.md", "CONTRIBUTING.md", "README.md", "tests/scenarios/README.md", "bpf/README.md")


@pytest.fixture(scope="module")
def files(repository: Path) -> list[str]:
    """The files of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.splitlines() if (repository / name).is_file()]


@pytest.mark.parametrize("page", GUIDES)
def test_guide_names_files_that_exist(repository: Path, files: list[str], page: str) -> None:
    """Each path in backticks is a file, a folder or a pattern that matches one; each module of a drawing is a file."""
    text = (repository / page).read_text()
    paths = [path for path in PATH.findall(text) if path.split("/")[0] in {name.split("/")[0] for name in files}]
    assert [path for path in paths if not list(repository.glob(path.rstrip("/")))] == []
    drawn = {module for drawing in MERMAID.findall(text) for module in MODULE.findall(drawing)}
    assert [module for module in drawn if not any(f"/{name}".endswith(f"/{module}") for name in files)] == []


def test_package_names_each_of_its_modules_in_reading_order(repository: Path, files: list[str]) -> None:
    """The first file that a reader opens leads to every other one of its folder."""
    missing = []
    for name in files:
        folder = (repository / name).parent
        if not name.endswith("/__init__.py") or name.startswith("tests/") or "migrations" in name:
            continue
        modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
        modules |= {path.parent.name for path in folder.glob("*/__init__.py")}
        missing += [
            f"{name}: {module}"
            for module in sorted(modules)
            if f"`{module}`" not in (folder / "__init__.py").read_text()
        ]
    assert missing == []


@pytest.mark.parametrize("page", GUIDES)
def test_guide_names_what_its_files_define(repository: Path, page: str) -> None:
    """A name that a guide places in a file (`KINDS` of `collector/k8s/kinds.py`) is there."""
    placed = re.findall(
        r"`(\w+)`(?:, | and )?(?:`(\w+)`)? (?:of|in) `([\w/.-]+\.\w+)`", (repository / page).read_text()
    )
    assert [
        f"{name} in {path}"
        for *names, path in placed
        for name in names
        if name and name not in (repository / path).read_text()
    ] == []


def test_links_of_every_page_lead_somewhere(repository: Path, files: list[str]) -> None:
    """A relative link of any Markdown file leads to a file or folder of the repository."""
    pages = [Path(name) for name in files if name.endswith(".md")]
    broken = [
        f"{page}: {link}"
        for page in pages
        for link in LINK.findall((repository / page).read_text())
        if not (repository / page.parent / link).exists()
    ]
    assert broken == []


def test_documents_named_in_code_exist(repository: Path, files: list[str]) -> None:
    """A docstring or comment that names a document names one of the repository, without a section number."""
    missing = []
    for name in files:
        if not name.endswith(SOURCES) or "/vendor/" in name or name == "tests/docs/test_references.py":
            continue
        text = (repository / name).read_text()
        missing += [f"{name}: §" for line in text.splitlines() if "§" in line]
        places = (repository, (repository / name).parent)
        missing += [
            f"{name}: {document}"
            for document in DOCUMENT.findall(text)
            if not any((place / document.lstrip("/")).exists() for place in places)
            and not any(known.endswith(f"/{document}") for known in files)
        ]
    assert missing == []


def test_index_of_decisions_is_complete_and_in_order(repository: Path) -> None:
    """Every record has exactly one line, in the order of the numbers, and the number is that of the file."""
    folder = repository / "docs" / "decisions"
    rows = RECORD.findall((folder / "README.md").read_text())
    assert [file for _number, file, _title, _status in rows] == sorted(
        path.name for path in folder.glob("*.md") if path.name != "README.md"
    )
    assert [number for number, file, _title, _status in rows if not file.startswith(number)] == []


def test_superseded_decisions_are_marked_in_both_places(repository: Path) -> None:
    """A record that no longer holds, or holds in part, says so in its first lines and in the index."""
    folder = repository / "docs" / "decisions"
    rows = RECORD.findall((folder / "README.md").read_text())
    indexed = {file for _number, file, _title, status in rows if "superseded" in status}
    marked = {
        path.name
        for path in folder.glob("0*.md")
        if re.search(r"^\*\*Status\.\*\* .*superseded", path.read_text(), re.MULTILINE)
    }
    assert indexed
    assert indexed == marked
