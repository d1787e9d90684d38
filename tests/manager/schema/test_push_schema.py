"""manager/schema/push_schema.py: how deep JSON may nest, whatever its strings hold."""

import orjson
import pytest

from manager.schema.gunzip import BadBodyError
from manager.schema.push_schema import check_depth


@pytest.mark.parametrize(
    ("body", "accepted"),
    [
        ([], True),
        ({"a": ["b", {"c": '["[['}], "d": "\\", "e": '\\"', "f": "\n]"}, True),
        ({"a": "[" * 100 + '"' + "{" * 100}, True),
        (orjson.loads("[" * 32 + "]" * 32), True),
        (orjson.loads("[" * 33 + "]" * 33), False),
        (["]" * 40, orjson.loads('{"a":' * 40 + '"}"' + "}" * 40), "\\"], False),
    ],
)
def test_depth_counts_brackets_outside_strings(body: object, accepted: bool) -> None:
    """32 levels pass and 33 do not; brackets, quotes and backslashes in strings change nothing."""
    raw = orjson.dumps(body)
    if accepted:
        check_depth(raw)
    else:
        with pytest.raises(BadBodyError):
            check_depth(raw)
