"""`python -m tests.scenarios NAME...`: runs these scenarios (or all) and prints each difference; exit 1 if there is
one.
"""

import argparse
import sys

from tests.scenarios.judge import judge
from tests.scenarios.suite import SCENARIOS, observe


def main() -> int:
    """Return the exit code: 0 if every scenario's records equal its table."""
    parser = argparse.ArgumentParser(prog="python -m tests.scenarios", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="scenarios; all, if none is named")
    parser.add_argument("--list", action="store_true", help="name every scenario with its rule, and run none")
    arguments = parser.parse_args()
    if arguments.list:
        for scenario in SCENARIOS.values():
            sys.stdout.write(f"{scenario.name:28} {scenario.says}\n")
        return 0
    unknown = [name for name in arguments.names if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario {unknown[0]!r}; expected one that --list names")
    failed = 0
    names = arguments.names or list(SCENARIOS)
    for name, one in observe(names).items():
        wrong = judge(one)
        failed += bool(wrong)
        sys.stdout.write(f"{'FAILED' if wrong else 'passed'} {name} {one.seconds:.1f} s\n")
        sys.stdout.writelines(f"    {text}\n" for text in wrong)
    sys.stdout.write(f"{len(names) - failed} of {len(names)} scenarios passed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
