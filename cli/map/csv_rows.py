"""Rows as CSV that no spreadsheet takes for a formula. Pure."""

import csv
import io
from collections.abc import Iterable, Sequence

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def cell(value: object) -> object:
    """A value; a text that a spreadsheet would compute has an apostrophe in front (OWASP, CSV injection)."""
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.lstrip(" ").startswith(FORMULA) else value


def to_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The rows with a head, as RFC 4180 has them."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([cell(value) for value in row] for row in rows)
    return text.getvalue()
