"""The inputs of the images: every library that a part imports, in the locked version, and few headers."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

PIN = re.compile(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==(\S+)", re.MULTILINE)
PYPROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
FIRST_PARTY = set(PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
LEFT_OUT = re.compile(r"^install_without (\S+) (.*)$", re.MULTILINE)
# The modules that a part's commands begin with. The command imports its groups one by one, by name.
CHAOS = (
    "cli/chaos/runner.py",
    "chaos/runner/app.py",
    "cli/chaos/injector.py",
    "chaos/injector/injection.py",
    "chaos/faults/holder.py",
)
STARTS = {
    "collector": ("cli/main.py", "cli/collector.py", "collector/app.py", "cli/delegate.py", "delegate/app.py", *CHAOS),
    "node-agent": (
        "cli/main.py",
        "cli/agent/commands.py",
        "node_agent/runtime/app.py",
        "node_agent/capture/files/capture_file.py",
    ),
    "manager": ("cli/main.py", "cli/manager/commands.py", "manager/migrations/env.py"),
}
NOT_INSTALLED_BY_PIP = {"bcc"}


def pins(path: Path) -> dict[str, str]:
    """Each locked library and its version."""
    return dict(PIN.findall(path.read_text()))


def imported(file: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
    return names


def reached(repository: Path, starts: tuple[str, ...]) -> set[str]:
    """The top names of all packages that the files reach, through our own modules; of ours `top/part` of it, too."""
    files, seen, found = [repository / start for start in starts], set(), set()
    while files:
        file = files.pop()
        if file in seen or not file.exists():
            continue
        seen.add(file)
        for name in imported(file):
            top = name.partition(".")[0]
            if top in FIRST_PARTY:
                found |= {top, "/".join(name.split(".")[:2])}
                files += [repository / f"{name.replace('.', '/')}.py", repository / top / "__init__.py"]
            elif top not in sys.stdlib_module_names:
                found.add(top)
    return found


@pytest.mark.parametrize("part", STARTS)
def test_image_has_every_library_that_its_program_imports(repository: Path, part: str) -> None:
    """The lock of an image covers the imports of its program: a new import cannot break the image unnoticed."""
    distributions = packages_distributions()
    locked = pins(repository / f"deploy/images/{part}.lock")
    needed = {name for name in reached(repository, STARTS[part]) if "/" not in name}
    needed -= NOT_INSTALLED_BY_PIP | FIRST_PARTY
    assert len(needed) > 5
    for name in needed:
        (distribution,) = set(distributions[name])
        assert distribution.lower().replace("_", "-") in locked, f"{name}: add it to deploy/images/{part}.in, make lock"


def test_build_context_holds_every_package_of_the_wheel(repository: Path) -> None:
    """A package that is not copied is missing in the images without a word; only the lab stays out."""
    lines = (repository / "deploy/images/Dockerfile.dockerignore").read_text().splitlines()
    assert FIRST_PARTY - {line[1:] for line in lines if line.startswith("!")} == {"lab"}


@pytest.mark.parametrize("part", STARTS)
def test_image_keeps_every_package_that_its_program_imports(repository: Path, part: str) -> None:
    """What install.sh takes out of an image is never what its program reaches."""
    removed = {name: set(words.split()) for name, words in LEFT_OUT.findall(text_of_install(repository))}
    assert set(removed) == set(STARTS)
    assert {name.partition("/")[0] for name in removed[part]} <= FIRST_PARTY
    assert removed[part] & reached(repository, STARTS[part]) == set()


def text_of_install(repository: Path) -> str:
    """The script that installs our packages into the images."""
    return (repository / "deploy/images/install.sh").read_text()


@pytest.mark.parametrize("part", STARTS)
def test_image_has_the_versions_that_are_tested(repository: Path, part: str) -> None:
    """Every pin of an image is a pin of requirements.lock, with hashes."""
    tested = pins(repository / "requirements.lock")
    path = repository / f"deploy/images/{part}.lock"
    locked = pins(path)
    assert locked
    assert {name: version for name, version in locked.items() if tested.get(name) != version} == {}
    assert path.read_text().count("--hash=sha256:") >= len(locked)


def test_collector_and_agent_images_hold_no_database(repository: Path) -> None:
    """The parts that run in every cluster carry no SQL library, and the agent no Kubernetes client."""
    agent, collector = (set(pins(repository / f"deploy/images/{part}.lock")) for part in ("node-agent", "collector"))
    assert not (agent | collector) & {"sqlalchemy", "psycopg", "alembic"}
    assert not agent & {"kubernetes", "starlette", "uvicorn"}


def test_pruned_headers_are_those_that_an_include_can_reach(repository: Path, tmp_path: Path) -> None:
    """Both trees are merged, quoted neighbours are followed, and what nothing includes is left out."""
    files = {
        "arch/arch/x86/include/generated/asm/made.h": "",
        "arch/include/generated/autoconf.h": "",
        "common/include/linux/kconfig.h": "#include <generated/autoconf.h>\n",
        "common/include/linux/types.h": '# include "beside.h"\n#include <asm/made.h>\n',
        "common/include/linux/beside.h": "",
        "common/include/linux/unused.h": "",
        "program/own.c": "#include <linux/types.h>\n",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    arguments = [tmp_path / name for name in ("arch", "common", "program", "target")]
    script = repository / "deploy/images/prune_headers.py"
    said = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=True).stdout
    target = tmp_path / "target"
    assert said == "5 headers\n"
    assert sorted(str(one.relative_to(target)) for one in target.rglob("*.h")) == [
        "arch/x86/include/generated/asm/made.h",
        "include/generated/autoconf.h",
        "include/linux/beside.h",
        "include/linux/kconfig.h",
        "include/linux/types.h",
    ]


def test_dockerfile_names_no_architecture_and_no_user_but_nobody(repository: Path) -> None:
    """The same file builds for amd64 and arm64; collector and manager run as 65534."""
    text = (repository / "deploy/images/Dockerfile").read_text()
    commands = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    assert not re.search(r"amd64|arm64|x86_64|aarch64|x86", commands)
    assert text.count("\nUSER 65534:65534\n") == 2
