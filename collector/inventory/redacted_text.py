"""What a secret looks like inside a string, and what it is replaced by: pure; docs/redaction.md has the table.

A rule replaces rather too much than too little. `HINTS` are lower-case words of which every string that a rule could
match holds one: a string without them is clean, which a scan of bytes finds out.

Every rule takes time linear to the string: it finds a hint, reads on from there, and goes on behind what it read. In a
pattern that means possessive repetitions (`++`) and a start that no repetition precedes. A string in which a rule finds
more than `MOST_PLACES` candidates is replaced whole.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator

from ahocorasick_rs import BytesAhoCorasick, MatchKind

NAMES: tuple[str, ...] = (
    *("pass", "pwd", "secret", "token", "auth", "credential"),
    *("api_key", "api-key", "apikey", "access_key", "access-key", "accesskey"),
    *("private_key", "private-key", "privatekey"),
)
VENDORS = (
    *("glrt-", "xapp-", "sk_live_", "rk_live_", "sk-ant-", "sk-proj-", "npm_", "hvs.", "hf_", "ya29.", "dop_v1_"),
    *("atatt3", "age-secret-key-1", "aiza", "pypi-", "dckr_pat_", "shpat_", "whsec_", "sg."),
)
SHAPES = ("@", "eyj", "akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox")
HINTS = (*NAMES, *SHAPES, *VENDORS, "private key", "ls0tls1crudjtib", "bearer", "basic")
MOST_PLACES = 1000

FLAGS = re.IGNORECASE | re.DOTALL
NAMES_A_SECRET = re.compile("|".join(NAMES), re.IGNORECASE | re.ASCII)
# An argument that is nothing but a name: what follows it in a list is its value.
FLAG_CHARS = re.compile(r"-{0,2}[\w.\[\]-]++[=:]?", re.ASCII)
# A value that follows a flag and is plainly the next flag.
NEXT_FLAG = re.compile(r"--[A-Za-z][\w.-]*+(?:=.*)?|-[A-Za-z]", re.ASCII | re.DOTALL)
MARKED = re.compile(rb"\[redacted:[a-z_]+\](?=[\s\"',;:)}\]&|\\]|\Z)")
SPACE = re.compile(rb"\s")
RUN = re.compile(rb"[\w.\[\]-]*+")
SEPARATOR = re.compile(rb"\\*+[\"']?\s*+[=:]++>?\s*+")
EQUALS = re.compile(rb"\\*+[\"']?\s*+=++>?\s*+")
BLANKS = re.compile(rb"(?:\s|\\\n)++")
FLAG_START = re.compile(rb"--?[\w.-]*+")
OPENING = re.compile(rb"\\*+([\"'])")
CLOSING = {quote: re.compile(quote + rb"(?=[\s,;:)}\]&|\\]|\Z)") for quote in (b'"', b"'")}
WORD = re.compile(rb"\S*+")
LINE = re.compile(rb"[^\n]*+")
SCHEME = re.compile(rb"(?:bearer|basic|token|digest|negotiate|apikey)\s++", FLAGS)
USER = rb"[^\s/@:'\"=,;\[]++:(?!//)"
FIRST_USER, NEXT_USER = re.compile(USER), re.compile(rb"['\"=,;]" + USER)
DIGEST = re.compile(rb"@sha\d+:")
MARKED_USER = re.compile(rb"\[redacted:[a-z_]+\]")
# User and password behind `://`, which are no host and port; or a user alone: of that length it is a token.
AUTHORITY = re.compile(rb"://(?:[^\s/@:]*+(?P<of_two>:)(?!\d{1,5}(?:[/?#]|\Z))|[^\s/@:]{16,}+@)")

Rule = tuple[str, re.Pattern[bytes], tuple[bytes, ...]]  # of the last, each string that the pattern matches holds one
SHAPE_RULES: tuple[Rule, ...] = (
    (
        "private_key",
        re.compile(
            rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,20}-----|\Z)",
            re.DOTALL,
        ),
        (b"PRIVATE KEY",),
    ),
    (  # the same in base64, as a Secret would hold it
        "private_key",
        re.compile(rb"LS0tLS1CRUdJTiB(?:QUklWQVRF|SU0Eg|FQyBQ|EU0Eg|PUEVOU1NI|FTkNSWVBURUQg)[A-Za-z0-9+/=\s]*+"),
        (b"LS0tLS1CRUdJTiB",),
    ),
    ("jwt", re.compile(rb"eyJ[\w+/=-]{8,}+(?:\.[\w-]++){0,4}+\.?"), (b"eyJ",)),
    ("aws_key", re.compile(rb"A(?:KIA|SIA)[0-9A-Z]{12,}+"), (b"AKIA", b"ASIA")),
    (
        "github_token",
        re.compile(rb"g(?:h[pousr]_[A-Za-z0-9]{8,}+|ithub_pat_\w{8,}+)"),
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
    ),
    ("gitlab_token", re.compile(rb"gl(?:pat|rt)-[\w-]{8,}+"), (b"glpat-", b"glrt-")),
    ("slack_token", re.compile(rb"x(?:ox[a-z]|app)-[A-Za-z0-9-]{8,}+"), (b"xox", b"xapp-")),
    (
        "vendor_token",
        re.compile(
            rb"(?:(?:sk|rk)_live_|sk-(?:ant|proj)-|npm_|hvs\.|hf_|ya29\.|dop_v1_|ATATT3|AGE-SECRET-KEY-1|AIza|pypi-"
            rb"|dckr_pat_|shpat_|whsec_|SG\.)[\w.+/=-]{16,}+"
        ),
        (
            *(b"_live_", b"sk-ant-", b"sk-proj-", b"npm_", b"hvs.", b"hf_", b"ya29.", b"dop_v1_", b"ATATT3"),
            *(b"AGE-SECRET-KEY-1", b"AIza", b"pypi-", b"dckr_pat_", b"shpat_", b"whsec_", b"SG."),
        ),
    ),
)
BEARER = re.compile(rb"([bB](?i:earer|asic)\s++)(?!\[redacted:)[\w+/=.~-]{4,}+")
WORD_RULES = ("url_credentials", "image_credentials")
ARGUMENT_RULES = ("argument", "authorization")
# The leftmost kind skips text in which nothing begins: a third of the time, but for `@` as one byte among them.
SCAN = BytesAhoCorasick([hint.encode() for hint in HINTS if hint != "@"], matchkind=MatchKind.LeftmostFirst)
NAME_SCAN = BytesAhoCorasick([name.encode() for name in NAMES], matchkind=MatchKind.LeftmostFirst)
CHUNK = 4096  # of a text, scanned at a time: a text that is full of hints costs no more than its first ones
LONGEST_NAME, LONGEST_HINT = max(map(len, NAMES)), max(map(len, HINTS))
Span = tuple[int, int]


class TooManyError(Exception):
    """A string has more places that a rule would have to look at than any honest string."""


def mark(rule: str) -> str:
    """The text that replaces a redacted value."""
    return f"[redacted:{rule}]"


def is_flag(text: str) -> bool:
    """Whether an argument is nothing but a name of a secret, so that the next argument is its value."""
    return FLAG_CHARS.fullmatch(text) is not None and NAMES_A_SECRET.search(text) is not None


def redacted_text(text: str, counts: Counter[str], *, structural: bool = False) -> str:
    """A string without what looks like a credential; `counts` grows by what was replaced, by rule.

    `structural`: a name, an image, a reference: without spaces in it `auth:1.2` is a tag, not a name and its secret.
    """
    raw = text.encode("utf-8", "surrogatepass")
    if not holds_hint(raw):
        return text
    for rule, pattern, parts in SHAPE_RULES:
        if any(part in raw for part in parts):
            raw = substituted(raw, rule, pattern, b"", counts)
    narrow = structural and SPACE.search(raw) is None
    if b"@" in raw:
        raw = replaced(raw, "url_credentials", url_credentials, counts)
        raw = replaced(raw, "image_credentials", image_credentials, counts)
    raw = replaced(raw, "argument", named_values_of_images if narrow else named_values, counts)
    if not narrow:
        raw = substituted(raw, "authorization", BEARER, rb"\1", counts)
    return raw.decode("utf-8", "surrogatepass")


def substituted(raw: bytes, rule: str, pattern: re.Pattern[bytes], kept: bytes, counts: Counter[str]) -> bytes:
    """The text with each match replaced by the rule's mark; the mark alone where there are too many."""
    raw, times = pattern.subn(kept + mark(rule).encode(), raw, count=MOST_PLACES + 1)
    if times > MOST_PLACES:
        raw, times = mark(rule).encode(), 1
    if times:
        counts[rule] += times
    return raw


def replaced(raw: bytes, rule: str, places: Callable[[bytes], Iterator[Span]], counts: Counter[str]) -> bytes:
    """The text with each place replaced by the rule's mark; the mark alone where there are too many."""
    marked = mark(rule).encode()
    pieces: list[bytes] = []
    copied = 0
    try:
        for begin, end in places(raw):
            pieces += (raw[copied:begin], marked)
            copied = end
    except TooManyError:
        counts[rule] += 1
        return marked
    if not pieces:
        return raw
    counts[rule] += len(pieces) // 2
    return b"".join((*pieces, raw[copied:]))


def holds_hint(raw: bytes) -> bool:
    """Whether a text holds a hint; a text that is full of them is known by its first piece."""
    lowered = raw.lower()
    return b"@" in lowered or any(
        SCAN.find_matches_as_indexes(lowered[start : start + CHUNK + LONGEST_HINT])
        for start in range(0, len(lowered), CHUNK)
    )


def words_with_at(raw: bytes) -> Iterator[Span]:
    """Where the words are that hold an `@`; a word has no spaces in it."""
    end, at, places = 0, raw.find(b"@"), 0
    while at >= 0:
        places += 1
        if places > MOST_PLACES:
            raise TooManyError
        before = raw[end:at].rsplit(None, 1)
        begin = at - (len(before[-1]) if before and not raw[at - 1 : at].isspace() else 0)
        end = WORD.match(raw, at).end()  # type: ignore[union-attr]  # it matches nothing, too
        yield begin, end
        at = raw.find(b"@", end)


def last_at(word: bytes) -> int:
    """Where the last `@` is that does not begin a digest (`app@sha256:…`); -1 where there is none."""
    at = word.rfind(b"@")
    for _ in range(MOST_PLACES):
        if at < 0 or not DIGEST.match(word, at):
            return at
        at = word.rfind(b"@", 0, at)
    raise TooManyError


def url_credentials(raw: bytes) -> Iterator[Span]:
    """User and password between `://` and the last `@` of a word, or a long user alone; `host:port/path@x` has none."""
    for begin, end in words_with_at(raw):
        word = raw[begin:end]
        at = last_at(word)
        for authority in AUTHORITY.finditer(word):
            scheme, stop = authority.span()
            if scheme >= at:
                break
            user = begin + scheme + len("://")
            if authority.lastgroup:
                if not MARKED_USER.match(raw, user):
                    yield user, begin + at
                break
            yield user, begin + stop - 1


def image_credentials(raw: bytes) -> Iterator[Span]:
    """`user:password` before the last `@` of a word, without a scheme."""
    for begin, end in words_with_at(raw):
        word = raw[begin:end]
        at = last_at(word)
        if word.find(b":", 0, max(at, 0)) < 0:
            continue
        first = FIRST_USER.match(word, 0, at)
        user = first or NEXT_USER.search(word, 0, at)
        if user and user.end() < at:
            yield begin + user.start() + (first is None), begin + at


def named_values_of_images(raw: bytes) -> Iterator[Span]:
    """Values behind `=` of names of secrets: in `repository/auth:1.2` a colon separates an image and its tag."""
    return named_values(raw, EQUALS)


def named_values(raw: bytes, separator: re.Pattern[bytes] = SEPARATOR) -> Iterator[Span]:
    """Where values are that are joined to a name of a secret (`token=…`), or follow a flag of one (`--token …`)."""
    lowered = raw.lower()
    start = floor = places = 0
    while start < len(raw):
        stop = start + CHUNK
        for _, begin, end in NAME_SCAN.find_matches_as_indexes(lowered[start : stop + LONGEST_NAME]):
            if start + begin < floor or start + begin >= stop:
                continue
            places += 1
            if places > MOST_PLACES:
                raise TooManyError
            value, floor = named_value(raw, lowered, floor, (start + begin, start + end), separator)
            if floor > value:
                yield value, floor
        start = max(stop, floor)


def named_value(raw: bytes, lowered: bytes, floor: int, name: Span, separator: re.Pattern[bytes]) -> Span:
    """Where the value of a name begins, and where to go on; the same place twice where there is no value."""
    begin, run_end = name[0], RUN.match(raw, name[1]).end()  # type: ignore[union-attr]
    joined = separator.match(raw, run_end)
    value = joined.end() if joined else follows_flag(raw, floor, begin, run_end)
    if value is None:
        return run_end, run_end
    if value == len(raw) or MARKED.match(raw, value):
        return value, value
    return value, value_end(raw, value, line=b"authorization" in lowered[max(0, begin - 20) : run_end])


def follows_flag(raw: bytes, floor: int, name: int, run_end: int) -> int | None:
    """Where the value begins that follows a flag with a name in it; None where the name is in no flag."""
    start = max(raw.rfind(blank, floor, name) for blank in (b" ", b"\n", b"\t", b"\r", b'"', b"'")) + 1
    start = max(start, floor)
    flag = FLAG_START.match(raw, start)
    if flag is None or flag.end() != run_end:
        return None
    blanks = BLANKS.match(raw, run_end)
    if blanks is None or re.match(rb"--[A-Za-z]", raw[blanks.end() : blanks.end() + 3]):
        return None
    return blanks.end()


def value_end(raw: bytes, begin: int, *, line: bool) -> int:
    """Where the value ends that begins there: at its closing quote, at a space, or with the line."""
    opening = OPENING.match(raw, begin)
    if opening:
        closing = CLOSING[opening[1]].search(raw, opening.end())
        return closing.end() if closing else len(raw)
    if line:
        return LINE.match(raw, begin).end()  # type: ignore[union-attr]
    scheme = SCHEME.match(raw, begin)
    return WORD.match(raw, scheme.end() if scheme else begin).end()  # type: ignore[union-attr]
