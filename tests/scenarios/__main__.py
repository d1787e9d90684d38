"""`python -m tests.scenarios NAME...`: runs these scenarios (or all) and tells how each differs; exit 1 then."""

import argparse
import sys

from tests.scenarios.judge import judge
from tests.scenarios.suite import SCENARIOS, observed


def main() -> int:
    """The exit code: 0 where every scenario's records equal its table."""
    parser = argparse.ArgumentParser(prog="python -m tests.scenarios", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="scenarios; all, if none is named")
    parser.add_argument("--list", action="store_true", help="name every scenario with its rule, and run none")
    told = parser.parse_args()
    if told.list:
        for scenario in SCENARIOS.values():
            sys.stdout.write(f"{scenario.name:28} {scenario.says}\n")
        return 0
    unknown = [name for name in told.names if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario {unknown[0]!r}; expected one that --list names")
    failed = 0
    names = told.names or list(SCENARIOS)
    for name, one in observed(names).items():
        wrong = judge(one)
        failed += bool(wrong)
        sys.stdout.write(f"{'FAILED' if wrong else 'passed'} {name} {one.seconds:.1f} s\n")
        sys.stdout.writelines(f"    {text}\n" for text in wrong)
    sys.stdout.write(f"{len(names) - failed} of {len(names)} scenarios passed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
