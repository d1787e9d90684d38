"""The 64 faults that every part must withstand, and the answer to each: what docs/reliability.md is made of.

A test of a row has its number in its name: `test_row_07_…`, or `test_rows_55_56_…` for several.
"""

ROWS: dict[int, tuple[str, str]] = {
    1: ("no Authorization", "401, body not read"),
    2: ("`Authorization: Bearer <valid>`", "401"),
    3: ("`authorization: token <valid>` (case), extra spaces", "201"),
    4: ("two Authorization headers", "401"),
    5: ("token with non-ASCII, NUL, of 10 kB", "401, no 500"),
    6: ("valid token, its agent removed", "404"),
    7: ("token of an agent that never existed", "401"),
    8: ("revoked, expired, second active token", "401, 401, 201"),
    9: ("time of the answer to a wrong id and a wrong secret, 1,000 tries", "distributions overlap"),
    10: ("gzip bomb: 8 MiB that are 8 GiB", "413, memory grows by less than 64 MiB"),
    11: ("8 MiB + 1 compressed, honest Content-Length", "413 before reading"),
    12: ("chunked body without length, endless", "413 at the limit"),
    13: ("Content-Length lies (short, long)", "400 or 408, connection closed"),
    14: ("gzip truncated, CRC wrong, trailing garbage", "400"),
    15: ("two gzip members, the second is the bomb", "413"),
    16: ("header says gzip, body is plain JSON; and the reverse", "400"),
    17: ("Content-Encoding br, `gzip, gzip`, empty", "415, 415, as identity"),
    18: ("nested arrays of depth 100,000", "400, no crash"),
    19: ("2,000,000 keys in an object; more records than a batch may hold", "400; 413"),
    20: ('NaN, Infinity, 1e400, 2^64, -0, `"1"` for a number', "400 for all but -0"),
    21: ("duplicate keys; BOM; UTF-16; invalid UTF-8; lone surrogate", "the last one counts; 400"),
    22: ("`\\u0000` in a label", "replaced and counted, the same on both databases"),
    23: ("empty body, `null`, `[]`, `{}`", "400; an empty list of connections is stored"),
    24: ("label `'; DROP TABLE pods;--`", "stored as it is"),
    25: ("sort parameter `name; select…`, `%` and `_` in a search", "without effect; letters"),
    26: ("`<img src=x onerror=…>`, `</script>`, `javascript:`, U+202E, ANSI escapes", "shown as text, policy intact, log escaped"),  # noqa: E501
    27: ("namespace in the URL of the page is a script", "text, 404"),
    28: ("batch id `../../etc/x`, of 1 kB, empty", "400"),
    29: ("the same batch twice", "201 and duplicate, stored once"),
    30: ("the same batch twenty times at once", "one stored, the others duplicates, no 500"),
    31: ("same id, another body", "409"),
    32: ("part 2 of an inventory before part 1; a part that never comes", "nothing deleted, shown as incomplete, parts expire in an hour"),  # noqa: E501
    33: ("an old inventory after a newer one", "201 stale, nothing changed"),
    34: ("pod without UID, with a name of 1 MB, with times of the future", "left out alone; clamped"),
    35: ("unknown members; a later schema version", "accepted; 400"),
    36: ("slow heads; a body of 1 byte per second; 1,000 idle connections", "408 or closed; others still served"),
    37: ("database locked, away, its disk full", "503 and Retry-After; the batch is stored afterwards"),
    38: ("manager killed before the commit, and after it before its answer", "not stored; duplicate at the next try; nothing lost"),  # noqa: E501
    39: ("database of a newer manager; migration under way", "refused with a message; 503 or waits"),
    40: ("500, 502, 503, 504 many times, then 201", "delivered once, waits grow and begin anew"),
    41: ("429 with Retry-After 7, a date, a past date, -5, 1e9, garbage", "7 s, until then, usual, usual, 300 s, usual"),  # noqa: E501
    42: ("401 for an hour, then 201", "nothing dropped, at most 10 probes"),
    43: ("404, then the agent is registered", "resumes within 15 min, in order"),
    44: ("400 on one batch of 100", "99 delivered, one set aside"),
    45: ("413", "split and delivered; what has no halves is set aside"),
    46: ("301, 307 to another host", "not followed, no token sent there"),
    47: ("200 with HTML (captive proxy)", "not taken for stored: held"),
    48: ("answer of 1 GiB, or a gzip bomb", "cut at 64 KiB"),
    49: ("RST in an upload, half-close, TLS alert, no such name", "tried again, no descriptor leaks"),
    50: ("`kill -9` while the spool is written", "nothing corrupt is sent; only the unfinished batch is lost"),
    51: ("spool file with a flipped bit, of length zero, foreign, a link", "set aside, ignored, refused"),
    52: ("ENOSPC, EROFS, EIO, EMFILE", "held in memory, counted, no crash"),
    53: ("spool full while the manager is away", "oldest connections dropped and counted, newest inventory kept"),
    54: ("clock set back 1 h, ahead 1 d, daylight saving", "order kept, each window once, no negative duration"),
    55: ("API server: 410 on page 3, twice, always", "begins anew; at last incomplete, nothing deleted"),
    56: ("API server: 429 with Retry-After, 503, 504, EOF, truncated list", "waits, tries again, incomplete; never taken for whole"),  # noqa: E501
    57: ("403 on a kind, 404 on a group, 401 until the token is renewed", "forbidden; unsupported; goes on within 2 min"),  # noqa: E501
    58: ("list of 100,000 pods", "memory bounded, pages streamed"),
    59: ("canary in environment, last-applied, arguments, probes, image", "found nowhere"),
    60: ("setting that would let last-applied out", "refused when settings are checked"),
    61: ("flood of connects from one pod", "summed and counted, other pods' edges exact"),
    62: ("control characters in names, IPv4-mapped, port 0, family 99", "escaped, one address, counted or left out"),
    63: ("pod deleted and its address used again within a second", "the pod of that time, or unresolved; never the wrong one"),  # noqa: E501
    64: ("host network, node process, probe of the kubelet, ClusterIP, NodePort, external", "each as what it is"),
}  # fmt: skip
