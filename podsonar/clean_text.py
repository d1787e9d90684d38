"""The text that a string may hold everywhere in Podsonar: Unicode without NUL and without half of a surrogate pair.

PostgreSQL stores no NUL (its manual, 8.3 Character Types), UTF-8 has no surrogates (RFC 3629). Other text is cleaned
and counted where it enters: one odd string never invalidates the data around it.
"""

import re

FORBIDDEN = re.compile("[\x00\ud800-\udfff]")
REPLACEMENT = "\ufffd"
ESCAPED_NUL, TEXT_OR_NUL = rb"\u0000", rb"\\u0000"
ESCAPED_BACKSLASH = rb"\\"
# Control characters stand for both while NUL is replaced: as plain bytes they are in no JSON.
STAND_IN, START_STAND_IN = b"\x01", b"\x00"
# `bytes.replace` prepares its search anew behind each match of more than five bytes: two short ones take less time.
ESCAPE_START, ESCAPE_END = rb"\u000", b"0"


def clean_text(text: str) -> str:
    """The text with U+FFFD in place of each character that no string may hold."""
    return FORBIDDEN.sub(REPLACEMENT, text)


def clean_json(raw: bytes) -> tuple[bytes, int]:
    r"""JSON text in which no string holds NUL, and how many were replaced by U+FFFD.

    In JSON a NUL is the escape `\u0000` alone (RFC 8259, 7): as a plain byte it is no JSON, and stays for the parser to
    refuse, as half of a surrogate pair does.
    """
    if ESCAPED_NUL not in raw or START_STAND_IN in raw or STAND_IN in raw:
        return raw, 0
    has_text = TEXT_OR_NUL in raw  # else no backslash precedes an escape of NUL, and each is one
    escaped = raw.replace(ESCAPED_BACKSLASH, STAND_IN) if has_text else raw
    text = escaped.replace(ESCAPE_START, START_STAND_IN).replace(START_STAND_IN + ESCAPE_END, REPLACEMENT.encode())
    if START_STAND_IN in text:
        text = text.replace(START_STAND_IN, ESCAPE_START)
    count = (len(escaped) - len(text)) // (len(ESCAPED_NUL) - len(REPLACEMENT.encode()))
    if not count:
        return raw, 0
    return text.replace(STAND_IN, ESCAPED_BACKSLASH) if has_text else text, count
