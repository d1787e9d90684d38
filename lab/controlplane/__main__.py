"""`python -m lab.controlplane [PROGRAM ...]`: build a cluster's programs ahead of time, and print where they are."""

import sys

from lab.controlplane.binaries import find_or_build
from lab.controlplane.programs import OLDEST, PROGRAMS, VERSIONS
from podsonar.errors import ApiServerError


def say(text: str) -> None:
    """A line about the work, apart from the command's output."""
    print(text, file=sys.stderr)  # noqa: T201 - a command's output


def main() -> None:
    """Build what is missing of the programs named (default: all, of every version) and print their paths."""
    named = {OLDEST: sys.argv[1:]} if sys.argv[1:] else {version: list(PROGRAMS[version]) for version in VERSIONS}
    try:
        for version, names in named.items():
            for path in find_or_build(names, say, version=version).values():
                print(path)  # noqa: T201 - a command's output
    except ApiServerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
