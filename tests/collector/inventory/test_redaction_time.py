"""No string decides how long redaction takes: the time is linear to its length, and bounded, whatever stands in it."""

import time
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.inventory.redacted_text import HINTS, redacted_text
from collector.inventory.redaction import Redaction

pytestmark = pytest.mark.long

KIB_256, MIB = 256 << 10, 1 << 20
SECONDS_PER_256_KIB = 0.05

# Each made a rule of the first version take time by the square of the length, or could.
PIECES = [
    *(
        "a:b,",
        "://a:b,",
        "eyJabcdefgh",
        "token",
        "token ",
        "token\t\n ",
        "--token",
        "-token ",
        'token="',
        "token='",
        "x@",
    ),
    *("a:b@c ", "://u:p@h ", "://u:p@h,", "@sha256:", "@sha1", "-----BEGIN ", "-----BEGIN RSA PRIVATE KEY-----"),
    *("LS0tLS1CRUdJTiB", "AKIA", "ghp_", "glpat-", "xox", "basic ", "bearer\n", "basic", "authorization:", "pwd\\\\"),
    *(
        "https://10.0.0.1:2379,",
        "auth=auth:",
        '\\"token\\":',
        "[redacted:x]",
        "secret=[redacted:x] ",
        "é@",
        "\u2028token=",
    ),
    *("password ", "'a:b", "=a:", "sk_live_", "hf_aaaaaaaaaaaaaaaa", "a" * 40 + "@", "eyJ", "token==="),
    *("://a@", "://" + "a" * 16 + "@", '"x:@', "a @", "\t", "ghp_eyJxoxAKIAglpat-hf_", "beareR bASIC"),
]


def filled(pieces: list[str], size: int) -> str:
    """Text of about that many bytes: the pieces again and again."""
    unit = "".join(pieces)
    return (unit * (size // max(1, len(unit.encode())) + 1))[:size]


def cpu_seconds(function: Callable[[], object], bound: float) -> float:
    """The least CPU time of this thread that a call took, of up to three; the first within the bound is enough."""
    least = float("inf")
    for _ in range(3):
        began = time.thread_time()
        function()
        least = min(least, time.thread_time() - began)
        if least <= bound:
            break
    return least


@pytest.mark.parametrize("structural", [False, True])
@pytest.mark.parametrize("piece", PIECES)
def test_hostile_mebibyte_is_redacted_in_its_time(piece: str, structural: bool) -> None:
    """1 MiB of a piece that rules look for, as free text behind a name of a secret, in a fifth of a second of CPU."""
    text, bound = ("" if structural else "token ") + filled([piece], MIB), SECONDS_PER_256_KIB * 4
    assert cpu_seconds(lambda: redacted_text(text, Counter(), structural=structural), bound) <= bound


@given(st.lists(st.one_of(st.sampled_from([*PIECES, *HINTS]), st.text(max_size=6)), min_size=1, max_size=6))
def test_any_text_is_redacted_in_its_time(pieces: list[str]) -> None:
    """Whatever is repeated: 256 KiB in 50 ms of CPU."""
    text, bound = filled(pieces, KIB_256), SECONDS_PER_256_KIB
    assert cpu_seconds(lambda: redacted_text(text, Counter()), bound) <= bound


@pytest.mark.parametrize("mode", ["structure", "patterns"])
@pytest.mark.parametrize("piece", ['"', "\\", '\\"', "token\\", "@\\\\", "\x00", "\x00\\u0000", 'x"@', "x token"])
def test_object_with_a_hostile_string_is_redacted_in_its_time(piece: str, mode: str) -> None:
    """Escapes of JSON cost no more: a mebibyte in an annotation, an argument, an image and a label's key."""
    text = filled([piece], MIB)

    def redact() -> None:
        container = {"image": text, "args": [text]}
        meta = {"annotations": {"a": text}, "labels": {text: "x"}}
        Redaction(mode).json("Pod", [{"metadata": meta, "spec": {"containers": [container]}}])  # type: ignore[arg-type]

    bound = SECONDS_PER_256_KIB * 4 * 4  # four strings of a mebibyte
    assert cpu_seconds(redact, bound) <= bound
