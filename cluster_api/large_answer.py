"""How large one answer may be that is held as a whole."""

LARGE_BODY_BYTES = 32 << 20  # 1,000 objects of 32 KiB: more is no page


class LargeAnswerError(Exception):
    """A page is larger than any page of the asked number of objects should be."""
