"""What a secret looks like inside a string, and what it is replaced by: pure; docs/redaction.md has the table.

A rule replaces rather too much than too little. `HINTS` are lower-case words of which every string that a rule could
match holds one: a string without them is clean, which a scan of bytes can tell.
"""

import re
from collections import Counter

NAMES: tuple[str, ...] = (
    *("pass", "pwd", "secret", "token", "auth", "credential"),
    *("api_key", "api-key", "apikey", "access_key", "access-key", "accesskey"),
    *("private_key", "private-key", "privatekey"),
)
SHAPES = ("@", "eyj", "akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox")
HINTS = (*NAMES, *SHAPES, "private key", "ls0tls1crudjtib", "bearer", "basic")

FLAGS = re.IGNORECASE | re.ASCII
NAME = rf"(?:{'|'.join(NAMES)})"
SPACE = re.compile(r"\s")
NAMES_A_SECRET = re.compile(NAME, FLAGS)
# An argument that is nothing but a name: what follows it in a list is its value.
FLAG = re.compile(rf"-{{0,2}}[\w.\[\]-]*?{NAME}[\w.\[\]-]*[=:]?", FLAGS)
# A value that follows a flag and is plainly the next flag.
NEXT_FLAG = re.compile(r"--[A-Za-z][\w.-]*(?:=.*)?|-[A-Za-z]", re.ASCII | re.DOTALL)
MARKED = r"(?!\[redacted:[a-z_]+\](?:[\s\"']|\Z))"
QUOTED = r"\\*(?P<quote>[\"'])(?:.*?(?P=quote)(?=[\s,;:)}\]&|\\]|\Z)|.*)"
SCHEME = r"(?:(?:bearer|basic|token|digest|negotiate|apikey)\s+)?"
JOINED = rf"({NAME}[\w.\[\]-]{{0,64}}\\*[\"']?\s*%s+>?\s*){MARKED}(?:{QUOTED}|{SCHEME}\S+)"
Rule = tuple[str, re.Pattern[str], str]

SHAPE_RULES: tuple[Rule, ...] = (
    (
        "private_key",
        re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|\Z)", re.DOTALL),
        "",
    ),
    (  # the same in base64, as a Secret would hold it
        "private_key",
        re.compile(r"LS0tLS1CRUdJTiB(?:QUklWQVRF|SU0Eg|FQyBQ|EU0Eg|PUEVOU1NI|FTkNSWVBURUQg)[A-Za-z0-9+/=\s]*"),
        "",
    ),
    ("jwt", re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]+){1,4}\.?", re.ASCII), ""),
    # A digest (`app@sha256:…`) is no host; what follows `host:` and is a port is no password.
    (
        "url_credentials",
        re.compile(r"(?<=://)[^\s/@:]*:(?!\d{1,5}(?:[/?#]|\Z))\S*(?=@)(?!@sha\d+:)|(?<=://)[^\s/@:]{16,}(?=@)"),
        "",
    ),
    (
        "image_credentials",
        re.compile(r"(?:(?<=[\s'\"=,;])|\A)[^\s/@:'\"=,;\[]+:(?!//)\S+(?=@)(?!@sha\d+:)"),
        "",
    ),
    ("aws_key", re.compile(r"(?:AKIA|ASIA)[0-9A-Z]{12,}"), ""),
    ("github_token", re.compile(r"gh[pousr]_[A-Za-z0-9]{8,}|github_pat_\w{8,}", re.ASCII), ""),
    ("gitlab_token", re.compile(r"glpat-[\w-]{8,}", re.ASCII), ""),
    ("slack_token", re.compile(r"xox[a-z]-[A-Za-z0-9-]{8,}"), ""),
)
FOLLOWING = re.compile(
    rf"((?:\A|[\s'\"])--?[\w.-]{{0,64}}?{NAME}[\w.-]{{0,64}}\s+)(?!--[A-Za-z]){MARKED}(?:{QUOTED}|\S+)",
    FLAGS | re.DOTALL,
)
BEARER = re.compile(rf"((?:bearer|basic)\s+){MARKED}[\w+/=.~-]{{8,}}", FLAGS)
ARGUMENT_RULES: tuple[Rule, ...] = (
    ("argument", re.compile(JOINED % "[=:]", FLAGS | re.DOTALL), r"\1"),
    ("argument", FOLLOWING, r"\1"),
    ("authorization", BEARER, r"\1"),
)
# `repository/auth:1.2` is an image and its tag, not a name and its secret.
IMAGE_RULES: tuple[Rule, ...] = (("argument", re.compile(JOINED % "=", FLAGS | re.DOTALL), r"\1"),)


def mark(rule: str) -> str:
    """What stands in place of a redacted value."""
    return f"[redacted:{rule}]"


def redacted_text(text: str, counts: Counter[str], *, image: bool = False) -> str:
    """A string without what looks like a credential; `counts` grows by what was replaced, by rule.

    `image`: it stands where an image is named, and is one if it has no spaces.
    """
    arguments = IMAGE_RULES if image and not SPACE.search(text) else ARGUMENT_RULES
    for rule, pattern, kept in (*SHAPE_RULES, *arguments):
        text, times = pattern.subn(kept + mark(rule), text)
        if times:
            counts[rule] += times
    return text
