"""podsonar/timestamp.py: what can be read can be written, at the ends of the calendar, too."""

import pytest

from podsonar.errors import InputError
from podsonar.timestamp import FIRST_SECOND, LAST_SECOND, NS_PER_SECOND, parse_rfc3339, rfc3339


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0001-01-01T00:00:00Z", FIRST_SECOND),
        ("0001-01-01T00:00:00-23:59", FIRST_SECOND + 86_340),
        ("1970-01-01T00:00:00.000000Z", 0),
        ("9999-12-31T23:59:59Z", LAST_SECOND),
        ("9999-12-31T23:59:59.000000+23:59", LAST_SECOND - 86_340),
    ],
)
def test_time_that_is_read_can_be_written(text: str, seconds: int) -> None:
    """The same moment, in UTC."""
    found = parse_rfc3339(text)
    assert found == seconds * NS_PER_SECOND
    assert parse_rfc3339(rfc3339(found)) == found


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+00:01", "0001-01-01t23:00:00+23:59", "9999-12-31T23:59:59-00:01"]
)
def test_time_whose_offset_leads_out_of_the_calendar_is_refused(text: str) -> None:
    """It could be read, and never written."""
    with pytest.raises(InputError, match="is not in the years 1 to 9999 of UTC"):
        parse_rfc3339(text)
