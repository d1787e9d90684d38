"""`python -m lab.controlplane [PROGRAM ...]`: builds a cluster's programs ahead of time and prints their paths."""

import sys

from lab.controlplane.binaries import find_or_build
from lab.controlplane.programs import OLDEST, PROGRAMS, VERSIONS
from podsonar.errors import ApiServerError


def report(text: str) -> None:
    """Print a line of progress on stderr, apart from the command's output."""
    print(text, file=sys.stderr)  # noqa: T201 - a command's output


def main() -> None:
    """Build the named programs that are missing (default: all, of every version) and print their paths."""
    named = {OLDEST: sys.argv[1:]} if sys.argv[1:] else {version: list(PROGRAMS[version]) for version in VERSIONS}
    try:
        for version, names in named.items():
            for path in find_or_build(names, report, version=version).values():
                print(path)  # noqa: T201 - a command's output
    except ApiServerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
