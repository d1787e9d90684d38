"""The page's files: what its first screen needs is asked for at once."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "manager" / "page"
IMPORTED = re.compile(r'^import .*?from "\./([a-z_]+\.js)";', re.MULTILINE)


def imported_by(name: str) -> set[str]:
    """Return every module that one imports, directly or not."""
    found: set[str] = set()
    left = [name]
    while left:
        for one in IMPORTED.findall((PAGE / left.pop()).read_text()):
            if one not in found:
                found.add(one)
                left.append(one)
    return found


def test_every_module_of_the_page_is_preloaded() -> None:
    """Else the browser finds an import only once the module that has it is there: a round trip for each level."""
    named = re.findall(r'<link rel="modulepreload" href="/page/([a-z_]+\.js)">', (PAGE / "index.html").read_text())
    assert sorted(named) == sorted(imported_by("page.js"))
    assert imported_by("first_answers.js") <= imported_by("page.js")
