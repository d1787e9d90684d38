"""The text that a string may hold everywhere in Podsonar: Unicode without NUL and without half of a surrogate pair.

PostgreSQL stores no NUL (its manual, 8.3 Character Types), UTF-8 has no surrogates (RFC 3629). Other text is cleaned
and counted where it enters: one odd string never invalidates the data around it.
"""

import re

FORBIDDEN = re.compile("[\x00\ud800-\udfff]")
REPLACEMENT = "\ufffd"
ESCAPED_NUL = rb"\u0000"
ESCAPED_BACKSLASH, STAND_IN = rb"\\", b"\x00\x01"  # plain control characters are in no JSON


def clean_text(text: str) -> str:
    """The text with U+FFFD in place of each character that no string may hold."""
    return FORBIDDEN.sub(REPLACEMENT, text)


def clean_json(raw: bytes) -> tuple[bytes, int]:
    r"""JSON text in which no string holds NUL, and how many were replaced by U+FFFD.

    In JSON a NUL is the escape `\u0000` alone (RFC 8259, 7): as a plain byte it is no JSON, and stays for the parser to
    refuse, as half of a surrogate pair does.
    """
    if ESCAPED_NUL not in raw or b"\x00" in raw:
        return raw, 0
    text = raw.replace(ESCAPED_BACKSLASH, STAND_IN)
    count = text.count(ESCAPED_NUL)
    if not count:
        return raw, 0
    return text.replace(ESCAPED_NUL, REPLACEMENT.encode()).replace(STAND_IN, ESCAPED_BACKSLASH), count
