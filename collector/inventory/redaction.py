"""The one place where secrets are taken out, before anything is written or sent; docs/redaction.md has the table.

In two steps, for speed. Free text is replaced in the parsed objects. Then the objects become JSON, and one scan of its
bytes finds every string, key or value, that could hold a credential all the same; only those are looked at.
orjson escapes nothing but quotes, backslashes and control characters, so that no escape can hide a hint from the scan.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from collector.inventory.redacted_fields import LIST_IN_LIST, OBJECT, Mode, Structure
from collector.inventory.redacted_text import LONGEST_HINT, SCAN, redacted_text
from podsonar.clean_text import clean_json

STRING_REST = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
AT = re.compile(b"@")
BACKSLASH = ord("\\")
OPENINGS = (b',"', b':"', b'["', b'{"')
KNOWN_STRINGS, KNOWN_LENGTH = 16_384, 256
SCANNED = 16_384  # bytes of a text that are scanned for hints at a time


@dataclass(frozen=True, slots=True)
class Replacement:
    """The replacement of a string that holds a hint, as JSON between its quotes; None: it stays as it is."""

    text: bytes | None
    counts: Counter[str]


CLEAN = Replacement(None, Counter())


def replacement_of(body: bytes) -> Replacement:
    """The replacement of the JSON text between a string's quotes."""
    text: str = orjson.loads(b'"' + body + b'"')
    counts: Counter[str] = Counter()
    redacted = redacted_text(text, counts, structural=True)
    return CLEAN if redacted == text else Replacement(orjson.dumps(redacted)[1:-1], counts)


def string_with_quotes(text: bytes, place: int, floor: int) -> tuple[int, int]:
    """Where the string that holds a place begins, at or behind `floor`, and where it ends, if a quote may be in it."""
    # A quote inside a string has a backslash before it, one that opens a string has none of its characters there.
    quote = 1 + max(text.rfind(opening, floor, place) for opening in OPENINGS)
    return quote, STRING_REST.match(text, quote + 1).end()  # type: ignore[union-attr]  # orjson closes its strings


class Redaction:
    """Redacts objects and counts what it replaced by rule."""

    def __init__(self, mode: Mode = "structure", keep: Sequence[str] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self.structure = Structure(mode, keep, self.counts)
        self.known: dict[bytes, Replacement] = {}

    def json(self, kind: str, objects: list[dict[str, Any]]) -> bytes:
        """The JSON of the objects of a kind, separated by commas, without secrets; the objects are changed."""
        text = self.structured(kind, objects)
        if self.structure.visited != text.count(OBJECT) or any(odd in text for odd in LIST_IN_LIST):
            text = self.structured(kind, objects, strict=True)  # a value has another shape than the table's scalar
        text, nuls = clean_json(text)
        if nuls:
            self.counts["nul"] += nuls
        return self.strings(text)

    def structured(self, kind: str, objects: list[dict[str, Any]], *, strict: bool = False) -> bytes:
        """The JSON of the objects, free text replaced; a strict pass looks at the type of every value."""
        structure, former = self.structure, self.structure.strict
        structure.visited, structure.strict = 0, strict or former
        for obj in objects:
            structure.redact(kind, obj)
        structure.strict = former
        return orjson.dumps(objects)[1:-1]

    def restore(self, counts: Counter[str]) -> None:
        """Count as if nothing had been redacted since `counts` was copied."""
        self.counts.clear()
        self.counts.update(counts)

    def strings(self, text: bytes) -> bytes:
        """JSON in which every string that holds a credential has it replaced."""
        pieces: list[bytes] = []
        copied = 0
        known = self.known.get
        for quote, end in self.hinted_strings(text):
            body = text[quote + 1 : end - 1]
            found = known(body) or self.replacement(body)
            if found.text is not None:
                self.counts.update(found.counts)
                pieces += (text[copied : quote + 1], found.text)
                copied = end - 1
        if not pieces:
            return text
        return b"".join((*pieces, text[copied:]))

    def hinted_strings(self, text: bytes) -> Iterator[tuple[int, int]]:
        """Where each string with a hint begins and ends, in order; each once, however many hints it holds."""
        lowered = text.lower()
        end = scanned = 0
        while scanned < len(text):
            # The rest of a string that was found is not scanned: one that is full of hints costs no more than one.
            start = max(scanned, end)
            scanned = start + SCANNED
            found = SCAN.find_matches_as_indexes(lowered[start : scanned + LONGEST_HINT])
            places = [start + begin for _, begin, _ in found if begin < SCANNED]
            # Alone: one hint of one byte makes the scan for all others three times as slow.
            places += [match.start() for match in AT.finditer(text, start, scanned)]
            places.sort()
            for place in places:
                if place < end:
                    continue
                quote, closing = text.rfind(b'"', 0, place), text.find(b'"', place)
                if text[quote - 1] != BACKSLASH and text[closing - 1] != BACKSLASH:
                    end = closing + 1
                else:
                    quote, end = string_with_quotes(text, place, max(0, end - 1))
                yield quote, end

    def replacement(self, body: bytes) -> Replacement:
        """The replacement of a string, cached: most strings of a cluster occur many times."""
        found = replacement_of(body)
        if len(body) <= KNOWN_LENGTH:
            if len(self.known) >= KNOWN_STRINGS:
                self.known.clear()
            self.known[body] = found
        return found
