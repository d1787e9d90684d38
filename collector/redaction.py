"""The one place where secrets are taken out, before anything is written or sent; faults.md §5 is the table.

Values that are redacted whole are replaced wherever they stand; in every other string, what looks like a credential is.
"""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

WHOLE_ANNOTATIONS = ("kubectl.kubernetes.io/last-applied-configuration", "consul.hashicorp.com/original-pod")
NAMES_A_SECRET = r"(?:pass(?:word|wd)?|pwd|secret|token|api[-_]?key|access[-_]?key|auth|credentials?|private[-_]?key)"  # noqa: S105 - a pattern
FLAG = re.compile(rf"^-{{0,2}}[\w.-]*{NAMES_A_SECRET}[\w.-]*$", re.IGNORECASE)
RULES: tuple[tuple[str, re.Pattern[str], str], ...] = (
    (
        "private_key",
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL),
        "",
    ),
    ("jwt", re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), ""),
    ("url_credentials", re.compile(r"(?<=://)[^\s/@:]+:[^\s/@]+(?=@)"), ""),
    ("image_credentials", re.compile(r"^[^\s/@:]+:[^\s/@]+(?=@[a-z0-9.-]+[:/])"), ""),
    ("aws_key", re.compile(r"\bAKIA[0-9A-Z]{12,}"), ""),
    ("github_token", re.compile(r"\bgh[pousr]_[A-Za-z0-9]{16,}"), ""),
    ("slack_token", re.compile(r"\bxox[a-z]-[A-Za-z0-9-]{8,}"), ""),
    (
        "argument",
        re.compile(
            rf"((?:^|[\s;&|'\"(?,-])[\w.-]*{NAMES_A_SECRET}[\w.-]*['\"]?\s*[=:]\s*['\"]?)[^\s'\"&;,]+", re.IGNORECASE
        ),
        r"\1",
    ),
    ("argument", re.compile(rf"((?:^|\s)--?[\w.-]*{NAMES_A_SECRET}[\w.-]*\s+)(?!-)[^\s'\"]+", re.IGNORECASE), r"\1"),
)
HINTS = re.compile(rf"-----|eyJ|://|@|AKIA|gh[pousr]_|xox|{NAMES_A_SECRET}", re.IGNORECASE)


def mark(rule: str) -> str:
    """What stands in place of a redacted value."""
    return f"[redacted:{rule}]"


class Redaction:
    """Redacts objects in place and counts what it replaced by rule."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def whole(self, rule: str) -> str:
        """The replacement of a whole value, counted."""
        self.counts[rule] += 1
        return mark(rule)

    def text(self, value: str) -> str:
        """A string without what looks like a credential."""
        if not HINTS.search(value):
            return value
        for rule, pattern, kept in RULES:
            value, times = pattern.subn(kept + mark(rule), value)
            if times:
                self.counts[rule] += times
        return value

    def words(self, values: list[Any]) -> list[Any]:
        """A list in which the word after a flag that names a secret is one (`--token`, `abc`)."""
        found: list[Any] = []
        for value in values:
            after_flag = bool(found) and isinstance(found[-1], str) and FLAG.match(found[-1]) is not None
            if after_flag and isinstance(value, str) and not value.startswith("-"):
                found.append(self.whole("argument"))
            else:
                found.append(self.value(value))
        return found

    def value(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Any value, redacted."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return self.words(value)
        if isinstance(value, dict):
            return self.mapping(value)
        return value

    def mapping(self, value: dict[str, Any]) -> dict[str, Any]:
        """An object's fields, redacted; managed fields are left out."""
        value.pop("managedFields", None)
        for key, held in value.items():
            special = WHOLE.get(key)
            value[key] = special(self, held) if special else self.value(held)
        return value

    def environment(self, entries: Any) -> Any:  # noqa: ANN401
        """`env` of a container: every value whole; names and references stay."""
        if not isinstance(entries, list):
            return self.value(entries)
        for entry in entries:
            if isinstance(entry, dict) and "value" in entry:
                entry["value"] = self.whole("env")
        return entries

    def annotations(self, entries: Any) -> Any:  # noqa: ANN401
        """Annotations: copies of the whole object are redacted whole."""
        if not isinstance(entries, dict):
            return self.value(entries)
        return {
            key: self.whole("last_applied") if key in WHOLE_ANNOTATIONS else self.value(held)
            for key, held in entries.items()
        }

    def http_headers(self, entries: Any) -> Any:  # noqa: ANN401
        """Header values of probes and hooks, whole."""
        if not isinstance(entries, list):
            return self.value(entries)
        for entry in entries:
            if isinstance(entry, dict) and "value" in entry:
                entry["value"] = self.whole("http_header")
        return entries


WHOLE: dict[str, Callable[[Redaction, Any], Any]] = {
    "env": Redaction.environment,
    "annotations": Redaction.annotations,
    "httpHeaders": Redaction.http_headers,
}
