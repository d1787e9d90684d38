"""chaos/control/judge: (maps of baseline and fault, hypothesis) -> a state per edge, a verdict with its reasons."""

from typing import Any

import pytest

from chaos.control.judge.edge_pattern import parse_edge
from chaos.control.judge.hypothesis import read_hypothesis
from chaos.control.judge.observed_edges import EdgeKey
from chaos.control.judge.report import judge, report_json, report_text
from podsonar.errors import InputError
from tests.chaos.control.judge.windows import BASELINE, changed, edge, vertex, window_map

BREAKS_CART = {"breaks": ["shop/frontend -> shop/cart:8080"]}
CART_GONE = edge("frontend", "cart", 44, 0)
SLOW_CART = edge("frontend", "cart", 46, handshakeSeconds={"sum": 46 * 0.2, "max": 0.3})


def report_of(fault: list[dict[str, Any]], hypothesis: dict[str, Any], **window: Any) -> dict[str, Any]:
    """The report of one fault window against the baseline."""
    read = read_hypothesis({"hypothesis": hypothesis}, "test")
    return report_json(judge([window_map(BASELINE)], [window_map(fault, 1, **window)], read))


def state_of(report: dict[str, Any], source: str, destination: str) -> str:
    """An edge's state."""
    found = [
        one for one in report["edges"] if (one["source"], one["destination"]) == (vertex(source), vertex(destination))
    ]
    assert len(found) == 1
    return str(found[0]["state"])


@pytest.mark.parametrize(
    ("then", "state"),
    [
        pytest.param(edge("frontend", "cart", 46), "ok", id="as before"),
        pytest.param(edge("frontend", "cart", 44, 0), "broken", id="none established"),
        pytest.param(edge("frontend", "cart", 44, 0, failed=0), "broken", id="into a black hole, all unfinished"),
        pytest.param(edge("frontend", "cart", 46, 31), "degraded", id="a third lost"),
        pytest.param(edge("frontend", "cart", 46, 45, failed=0), "ok", id="one on its way at the end"),
        pytest.param(edge("frontend", "cart", 46, 45), "degraded", id="one of 46 failed"),
        pytest.param(edge("frontend", "cart", 0), "silent", id="no attempt"),
        pytest.param(edge("frontend", "cart", 3), "not exercised", id="too few attempts"),
        pytest.param(edge("frontend", "cart", 120), "surging", id="retries"),
        pytest.param(SLOW_CART, "slow", id="slow handshakes"),
        pytest.param(edge("frontend", "cart", 2, 0), "not exercised", id="two failures say little"),
    ],
)
def test_state_follows_from_counts(then: dict[str, Any], state: str) -> None:
    """The established ratio decides, not the failed count."""
    assert state_of(report_of(changed(then), {}), "frontend", "cart") == state


def test_windows_of_different_length_are_compared_as_rates() -> None:
    """46 per minute are 11.5 in 15 s: 12 attempts are no change, 40 a surge, and 1 per minute is not exercised."""
    quarter = [
        edge(one["source"][13:], one["destination"][13:], one["attempts"] // 4 + 1, port=int(one["port"]))
        for one in BASELINE
    ]
    assert state_of(report_of(quarter, {}, seconds=15), "frontend", "cart") == "ok"
    surge = [*quarter[:1], edge("frontend", "cart", 40), *quarter[2:]]
    assert state_of(report_of(surge, {}, seconds=15), "frontend", "cart") == "surging"
    silent = [one for one in quarter if one["destination"] != vertex("db")]
    report = report_of(silent, {}, seconds=15)
    assert state_of(report, "cart", "db") == "silent"
    assert state_of(report, "catalog", "db") == "not exercised"


@pytest.mark.parametrize(
    ("fault", "hypothesis", "window", "verdict", "reason"),
    [
        pytest.param(changed(CART_GONE), BREAKS_CART, {}, "Pass", "", id="only the named edge broke"),
        pytest.param(BASELINE, BREAKS_CART, {}, "Fail", "expected that it breaks: ok", id="it held"),
        pytest.param(
            changed(CART_GONE, edge("frontend", "catalog", 30, 2)),
            BREAKS_CART,
            {},
            "Fail",
            "shop/frontend -> shop/catalog:8080: degraded",
            id="another edge broke, too",
        ),
        pytest.param(
            changed(CART_GONE, edge("frontend", "catalog", 0)),
            BREAKS_CART,
            {},
            "Fail",
            "silent",
            id="another fell silent",
        ),
        pytest.param(
            changed(CART_GONE, edge("load", "db", 9, 0, port=5432)),
            BREAKS_CART,
            {},
            "Fail",
            "shop/load -> shop/db:5432: new",
            id="a new edge that fails",
        ),
        pytest.param(
            changed(CART_GONE, edge("load", "db", 9, port=5432)),
            BREAKS_CART,
            {},
            "Pass",
            "",
            id="a fallback that works",
        ),
        pytest.param(changed(CART_GONE), BREAKS_CART, {"lost": 14}, "N/A", "node-b lost 14", id="something was lost"),
        pytest.param(
            changed(CART_GONE),
            BREAKS_CART,
            {"blind": {"node-b": {"observed": "none", "reason": "no_report"}}},
            "N/A",
            "node-b not observed (no_report)",
            id="no agent on a node",
        ),
        pytest.param(
            changed(CART_GONE),
            BREAKS_CART,
            {"blind": {"node-c": {"observed": "none", "reason": "no_report"}}},
            "N/A",
            "every edge of node-c",
            id="no agent on a node that no known edge touches",
        ),
        pytest.param(
            changed(edge("frontend", "cart", 3, 0)), BREAKS_CART, {}, "N/A", "3 attempts", id="named edge not exercised"
        ),
        pytest.param(
            changed(CART_GONE, edge("frontend", "catalog", 4)),
            BREAKS_CART,
            {},
            "N/A",
            "4 attempts",
            id="other not exercised",
        ),
        pytest.param(
            changed(CART_GONE), {"breaks": ["a/b -> c/d"]}, {}, "Fail", "broken", id="unknown edge and a failure"
        ),
        pytest.param(BASELINE, {"breaks": ["a/b -> c/d"]}, {}, "N/A", "no such edge", id="unknown edge"),
        pytest.param(
            changed(edge("frontend", "cart", 46, 42)),
            {"holds": [{"edge": "shop/frontend -> shop/cart", "minEstablished": "90%"}]},
            {},
            "Pass",
            "",
            id="holds within its bound",
        ),
        pytest.param(
            changed(edge("frontend", "cart", 46, 41)),
            {"holds": [{"edge": "shop/frontend -> shop/cart", "minEstablished": "90%"}]},
            {},
            "Fail",
            "at least 90% expected",
            id="below its bound",
        ),
        pytest.param(
            changed(edge("frontend", "cart", 46, 20)), {"degrades": ["* -> shop/cart"]}, {}, "Pass", "", id="degrades"
        ),
        pytest.param(changed(SLOW_CART), {"slows": ["* -> shop/cart"]}, {}, "Pass", "", id="slows"),
        pytest.param(BASELINE, {"slows": ["* -> shop/cart"]}, {}, "Fail", "expected that it slows: ok", id="not slow"),
        pytest.param(
            changed(CART_GONE), {"slows": ["* -> shop/cart"]}, {}, "Fail", "it slows: broken", id="broken, not slow"
        ),
        pytest.param(
            changed(CART_GONE, edge("load", "frontend", 300)),
            BREAKS_CART | {"maxSurge": 3},
            {},
            "Fail",
            "5.0 times",
            id="retry storm",
        ),
        pytest.param(
            changed(CART_GONE, edge("frontend", "catalog", 30, 2)),
            BREAKS_CART | {"elsewhere": "ignored"},
            {},
            "Pass",
            "",
            id="elsewhere is not claimed",
        ),
        pytest.param([], {"elsewhere": "ignored"}, {}, "N/A", "nothing was claimed", id="nothing claimed"),
    ],
)
def test_verdict_is_never_pass_by_absence(
    fault: list[dict[str, Any]], hypothesis: dict[str, Any], window: dict[str, Any], verdict: str, reason: str
) -> None:
    """Pass needs every claim judged; one failed claim fails; what was not seen is N/A with its reason."""
    report = report_of(fault, hypothesis, **window)
    assert (report["verdict"], any(reason in one for one in report["reasons"]) or not reason) == (verdict, True), (
        report["reasons"]
    )


def test_surprises_come_first_and_are_what_nobody_named() -> None:
    """A broken edge outside the hypothesis is a surprise, a named one is not; the baseline judges recovery, too."""
    read = read_hypothesis(BREAKS_CART, "test")
    fault = window_map(changed(CART_GONE, edge("frontend", "catalog", 30, 0)), 1)
    report = report_json(judge([window_map(BASELINE)], [fault], read, [window_map(BASELINE, 2)]))
    assert report["surprises"] == ["shop/frontend -> shop/catalog:8080"]
    assert report["predictedAndSeen"] == ["shop/frontend -> shop/cart:8080"]
    assert {one["recovery"] for one in report["edges"] if one["state"] == "broken"} == {"ok"}
    text = list(report_text(report))
    assert text[0].startswith("Connects only")
    assert text.index("Seen and not predicted:") < text.index("Predicted and seen:")


def test_already_broken_edge_is_no_effect_of_the_fault() -> None:
    """An edge that never worked is neither broken by the fault nor a claim elsewhere."""
    ill = edge("load", "catalog", 9, 0)
    read = read_hypothesis(BREAKS_CART, "test")
    report = report_json(judge([window_map([*BASELINE, ill])], [window_map([*changed(CART_GONE), ill], 1)], read))
    assert (state_of(report, "load", "catalog"), report["verdict"]) == ("already broken", "Pass")
    assert "shop/load -> shop/catalog:8080" in report["notClaimed"]


@pytest.mark.parametrize(
    ("hypothesis", "expected"),
    [
        pytest.param({"breaks": ["shop/frontend shop/cart"]}, "expected `SOURCE -> DESTINATION", id="no arrow"),
        pytest.param({"breaks": ["a -> b:http"]}, "expected `SOURCE -> DESTINATION", id="port's name"),
        pytest.param({"braeks": []}, "unknown field `braeks`", id="unknown member"),
        pytest.param({"holds": [{"edge": "a -> b", "minEstablished": "two"}]}, "minEstablished", id="no percentage"),
        pytest.param({"breaks": ["a -> b"], "holds": ["a -> b"]}, "twice", id="two claims of one edge"),
        pytest.param({"elsewhere": "maybe"}, "elsewhere", id="unknown word"),
        pytest.param([], "Expected `object`", id="a list"),
    ],
)
def test_bad_hypothesis_names_member_and_expectation(hypothesis: object, expected: str) -> None:
    """A wrong file is one sentence."""
    with pytest.raises(InputError, match=r".") as error:
        read_hypothesis(hypothesis, "file")
    assert expected in str(error.value)


def test_pattern_takes_only_the_star_as_special() -> None:
    """Brackets and question marks in names are themselves; an IPv6 address is in brackets before a port."""
    assert parse_edge("shop/* -> [2001:db8::1]:443", "x").matches(
        EdgeKey("service/shop/cart", "external/2001:db8::1", "443")
    )
    assert not parse_edge("shop/? -> shop/b", "x").matches(EdgeKey("service/shop/a", "service/shop/b", "1"))


def test_same_window_twice_and_no_map_are_refused() -> None:
    """A window counts once; what is no map is named."""
    read = read_hypothesis({}, "test")
    with pytest.raises(InputError, match="named twice"):
        judge([window_map(BASELINE), window_map(BASELINE)], [window_map(BASELINE, 1)], read)
    with pytest.raises(InputError, match="expected the JSON"):
        judge([{"window": None}], [window_map(BASELINE, 1)], read)
