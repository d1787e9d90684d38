"""The one place where secrets are taken out, before anything is written or sent; docs/redaction.md has the table.

In two steps, for speed. What is redacted whole is replaced in the parsed objects. Then the objects become JSON, and one
scan of its bytes finds every string, key or value, that could hold a credential; only those are looked at.
orjson escapes nothing but quotes, backslashes and control characters, so that no escape can hide a hint from the scan.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import orjson
from ahocorasick_rs import BytesAhoCorasick

from collector.inventory.redaction_rules import FLAG, HINTS, NAMES_A_SECRET, NEXT_FLAG, mark, redacted_text

COPIES = ("kubectl.kubernetes.io/last-applied-configuration", "consul.hashicorp.com/original-pod")
STRING_REST = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
IMAGE_KEYS = (b'"image":', b'"imageID":')
IMAGE_LISTS = b'"names":'
# Lists of names and selectors: a word in them is no flag, whatever it is called.
NAME_LISTS = (IMAGE_LISTS, b'"values":', b'"namespaces":', b'"hostnames":', b'"finalizers":', b'"drop":', b'"add":')
BACKSLASH = ord("\\")
KNOWN_STRINGS, KNOWN_LENGTH = 16_384, 256


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a string that holds a hint: `plain` anywhere, `image` where it names an image; None: as it is."""

    plain: bytes | None
    plain_counts: Counter[str]
    image: bytes | None
    image_counts: Counter[str]
    flag: bool


CLEAN = Verdict(None, Counter(), None, Counter(), flag=False)
CLEAN_FLAG = Verdict(None, Counter(), None, Counter(), flag=True)


def judged(body: bytes) -> Verdict:
    """The verdict on the JSON text between a string's quotes."""
    text: str = orjson.loads(b'"' + body + b'"')
    flag = FLAG.fullmatch(text) is not None
    plain_counts: Counter[str] = Counter()
    plain = redacted_text(text, plain_counts)
    if plain == text:  # the rules for images are fewer
        return CLEAN_FLAG if flag else CLEAN
    image_counts: Counter[str] = Counter()
    image = redacted_text(text, image_counts, image=True)
    return Verdict(
        orjson.dumps(plain)[1:-1],
        plain_counts,
        None if image == text else orjson.dumps(image)[1:-1],
        image_counts,
        flag,
    )


def string_around(text: bytes, place: int) -> tuple[int, int]:
    """Where the string that holds a place begins, and where it ends."""
    quote, end = text.rfind(b'"', 0, place), text.find(b'"', place)
    if text[quote - 1] != BACKSLASH and text[end - 1] != BACKSLASH:
        return quote, end + 1
    quote = opening_quote(text, quote)
    return quote, STRING_REST.match(text, quote + 1).end()  # type: ignore[union-attr]  # orjson closes its strings


def opening_quote(text: bytes, quote: int) -> int:
    """The quote that begins the string that this one begins or stands in."""
    while True:
        backslashes = quote
        while text[backslashes - 1 : backslashes] == b"\\":
            backslashes -= 1
        if (quote - backslashes) % 2 == 0:
            return quote
        quote = text.rfind(b'"', 0, quote)


def in_list(text: bytes, quote: int, keys: tuple[bytes, ...]) -> bool:
    """Whether the string that begins at a quote is an element of a list under one of the keys."""
    return text[quote - 1 : quote] in (b"[", b",") and text.endswith(keys, 0, text.rfind(b"[", 0, quote))


def names_an_image(text: bytes, quote: int) -> bool:
    """Whether the string that begins at a quote names an image."""
    return text.endswith(IMAGE_KEYS, 0, quote) or in_list(text, quote, (IMAGE_LISTS,))


# Fields below which no kind has a list of `WHOLE`. They are passed over first; whether that was right is counted after.
PASSED_OVER = frozenset(
    (
        *("status", "resources", "volumeMounts", "ports", "tolerations", "labels", "securityContext", "selector"),
        *("ownerReferences", "affinity", "topologySpreadConstraints", "volumes", "nodeSelector", "envFrom"),
    )
)
NOTHING: frozenset[str] = frozenset()
WHOLE = ("env", "httpHeaders", "managedFields", "annotations")
# As JSON has them, and as nothing inside a string can look: there a quote has a backslash before it.
WHOLE_KEYS = tuple(f'"{key}":{opening}'.lower().encode() for key, opening in zip(WHOLE, "[[[{", strict=True))
HINT_BYTES = tuple(hint.encode() for hint in HINTS if hint != "@")


class Redaction:
    """Redacts objects and counts what it replaced by rule."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.hints = BytesAhoCorasick([*WHOLE_KEYS, *HINT_BYTES])
        self.known: dict[bytes, Verdict] = {}
        self.visited = 0

    def json(self, objects: list[dict[str, Any]]) -> bytes:
        """The JSON of the objects, commas between them, without secrets; the objects are changed."""
        self.visited = 0
        for one in objects:
            self.structure(one, PASSED_OVER)
        text = orjson.dumps(objects)[1:-1]
        whole, hits = self.hits(text)
        if whole != self.visited:  # something stands where no kind has it: look everywhere
            for one in objects:
                self.structure(one, NOTHING)
            text = orjson.dumps(objects)[1:-1]
            _, hits = self.hits(text)
        return self.strings(text, hits)

    def whole(self, rule: str) -> str:
        """The replacement of a whole value, counted."""
        self.counts[rule] += 1
        return mark(rule)

    def structure(self, node: dict[str, Any], passed_over: frozenset[str]) -> None:
        """Replace in place what is redacted whole, and count it once; managed fields are left out."""
        for key, held in node.items():
            kind = type(held)
            if kind is dict:
                if key == "annotations":
                    self.annotations(held)
                elif held and key not in passed_over:
                    self.structure(held, passed_over)
            elif kind is list:
                if key == "env":
                    self.values(held, "env")
                elif key == "httpHeaders":
                    self.values(held, "http_header")
                elif key not in passed_over and key != "managedFields":
                    self.elements(held, passed_over)
        if type(node.get("managedFields")) is list:
            del node["managedFields"]
            self.counts["managed_fields"] += 1

    def elements(self, held: list[Any], passed_over: frozenset[str]) -> None:
        """The same for the objects in a list."""
        for item in held:
            kind = type(item)
            if kind is dict:
                self.structure(item, passed_over)
            elif kind is list:
                self.elements(item, passed_over)

    def values(self, entries: list[Any], rule: str) -> None:
        """Replace every value of environment variables or headers; names and references stay."""
        self.visited += 1
        marked, times = mark(rule), 0
        for place, entry in enumerate(entries):
            if type(entry) is not dict:
                times += entry != marked
                entries[place] = marked
            elif entry.get("value", marked) != marked:
                entry["value"] = marked
                times += 1
        if times:
            self.counts[rule] += times

    def annotations(self, entries: dict[str, Any]) -> None:
        """Replace copies of a whole object, and values of annotations whose key names a secret."""
        self.visited += 1
        for key, held in entries.items():
            rule = "last_applied" if key in COPIES else "annotation" if NAMES_A_SECRET.search(key) else ""
            if rule and held != mark(rule):
                entries[key] = self.whole(rule)

    def strings(self, text: bytes, hits: list[int]) -> bytes:
        """JSON in which every string that holds a credential has it replaced."""
        pieces: list[bytes] = []
        done = copied = 0
        known = self.known.get
        for hit in hits:
            if hit < done:  # in a string that was looked at
                continue
            quote, done = string_around(text, hit)
            body = text[quote + 1 : done - 1]
            verdict = known(body) or self.verdict(body)
            if verdict is CLEAN:
                continue
            if verdict.plain is not None:
                image = verdict.plain != verdict.image and names_an_image(text, quote)
                written, counts = (
                    (verdict.image, verdict.image_counts) if image else (verdict.plain, verdict.plain_counts)
                )
                if written is not None:
                    for rule, times in counts.items():
                        self.counts[rule] += times
                    pieces += (text[copied : quote + 1], written)
                    copied = done - 1
            if verdict.flag and text.startswith(b',"', done) and not in_list(text, quote, NAME_LISTS):
                end = self.argument_end(text, done + 1)
                if end:
                    pieces += (text[copied : done + 2], self.whole("argument").encode())
                    copied, done = end - 1, end
        if not pieces:
            return text
        return b"".join((*pieces, text[copied:]))

    def hits(self, text: bytes) -> tuple[int, list[int]]:
        """How many fields there are that are redacted whole, and where hints stand, in order."""
        whole, places = 0, []
        for pattern, begin, _ in self.hints.find_matches_as_indexes(text.lower()):
            if pattern < len(WHOLE_KEYS):
                whole += 1
            else:
                places.append(begin)
        place = text.find(b"@")  # alone: one hint of one byte makes the scan for all others three times as slow
        while place >= 0:
            places.append(place)
            place = text.find(b"@", place + 1)
        places.sort()
        return whole, places

    def verdict(self, body: bytes) -> Verdict:
        """The verdict on a string, kept in memory: most strings of a cluster come again and again."""
        found = judged(body)
        if len(body) <= KNOWN_LENGTH:
            if len(self.known) >= KNOWN_STRINGS:
                self.known.clear()
            self.known[body] = found
        return found

    def argument_end(self, text: bytes, quote: int) -> int:
        """Where the string after a flag ends if it is the flag's value; 0 if it is a key or the next flag."""
        end = STRING_REST.match(text, quote + 1).end()  # type: ignore[union-attr]
        if text.startswith(b":", end):
            return 0
        value: str = orjson.loads(text[quote:end])
        return 0 if NEXT_FLAG.fullmatch(value) else end
