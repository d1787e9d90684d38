"""Whether a value meets a criterion: whole numbers, floating point numbers, texts. Pure."""

import operator
import re
from collections.abc import Callable

from chaos.task_action import Comparator

NUMBER_CRITERIA: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}
LONGEST_PATTERN, LONGEST_MATCHED = 1000, 4 << 10


class ComparisonError(ValueError):
    """The comparison cannot be made: an unknown criterion, or a value of another type."""


def values_of(text: str) -> list[str]:
    """The values of a list such as `[1, 2]` or `1,2`."""
    return [value.strip() for value in text.strip().strip("[]").split(",") if value.strip()]


def number_of(text: str, kind: str) -> float:
    """The number in a text; ComparisonError if it is none of that kind."""
    try:
        return int(text) if kind == "int" else float(text)
    except ValueError:
        raise ComparisonError(f"{text.strip()[:80]!r} is not of type {kind}") from None


def meets(actual: str, comparator: Comparator) -> bool:
    """Whether the value meets the criterion; ComparisonError if that cannot be said."""
    if comparator.type == "string":
        return text_meets(actual.strip(), comparator.criteria, comparator.value)
    found = number_of(actual, comparator.type)
    if comparator.criteria in ("oneOf", "between"):
        expected = [number_of(value, comparator.type) for value in values_of(comparator.value)]
        if comparator.criteria == "oneOf":
            return found in expected
        if len(expected) != 2:
            raise ComparisonError(f"between {comparator.value[:80]!r}: expected two numbers")
        return expected[0] <= found <= expected[1]
    if comparator.criteria not in NUMBER_CRITERIA:
        raise ComparisonError(f"criterion {comparator.criteria[:40]!r}: expected one of {', '.join(NUMBER_CRITERIA)}")
    return NUMBER_CRITERIA[comparator.criteria](found, number_of(comparator.value, comparator.type))


def text_meets(actual: str, criterion: str, expected: str) -> bool:
    """Whether a text meets the criterion."""
    name = criterion.lower()
    if name in ("matches", "notmatches"):
        return bool(pattern_of(expected).search(actual[:LONGEST_MATCHED])) == (name == "matches")
    results = {
        "contains": expected in actual,
        "equal": actual == expected,
        "notequal": actual != expected,
        "oneof": actual in values_of(expected),
    }
    if name not in results:
        raise ComparisonError(
            f"criterion {criterion[:40]!r}: expected contains, equal, notEqual, matches, notMatches or oneOf"
        )
    return results[name]


def pattern_of(text: str) -> re.Pattern[str]:
    """The regular expression; ComparisonError for none."""
    try:
        return re.compile(text[: LONGEST_PATTERN + 1]) if len(text) <= LONGEST_PATTERN else re.compile("(")
    except re.error:
        raise ComparisonError(f"{text[:80]!r} is no regular expression of up to {LONGEST_PATTERN} characters") from None
