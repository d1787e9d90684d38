"""What the settings leave out: Jobs, pods without a controller, namespaces; counted by reason, at both ends."""

from directory.selection import Selection
from tests.scenarios.table import Left, Scenario, ScenarioPod, connect, shop_took, web_to_shop

SHOP = ScenarioPod("shop", (8080,))


def from_pod(name: str, says: str, web: ScenarioPod, selection: Selection, left: str | None) -> Scenario:
    """The scenario in which pod web makes 17 connects to pod shop, left out for the reason `left` or not at all."""
    return Scenario(
        name,
        says,
        pods=(web, SHOP),
        steps=(connect("web", "pod shop", 8080, 17),),
        edges=() if left else (web_to_shop(17),),
        left=(Left(left, 17, "a"),) if left else (),
        taken=(shop_took(17),),
        uncompared={"remote_pod_not_observed": 17} if left else {},
        selection=selection,
    )


JOB, ORPHAN, OTHER = (
    ScenarioPod("web", owner="Job"),
    ScenarioPod("web", owner=None),
    ScenarioPod("web", namespace="elsewhere"),
)

SCENARIOS = (
    from_pod("job-off", "a Job's pod is no source unless the settings say so", JOB, Selection(), "batch_pod"),
    from_pod("job-on", "a Job's pod is a source if the settings say so", JOB, Selection(batch=True), None),
    from_pod("orphan-off", "a pod without a controller is no source", ORPHAN, Selection(), "orphaned_pod"),
    from_pod("orphan-on", "unless the settings say so", ORPHAN, Selection(orphaned=True), None),
    from_pod(
        "namespace-observed",
        "of two namespaces one is observed",
        OTHER,
        Selection(observed=frozenset({"namespace-observed"})),
        "namespace_not_observed",
    ),
    from_pod(
        "namespace-blacklisted",
        "a blacklisted namespace is left out",
        OTHER,
        Selection(blacklisted=frozenset({"elsewhere"})),
        "namespace_blacklisted",
    ),
    from_pod(
        "namespace-selected",
        "a namespace that the selector does not match is left out",
        OTHER,
        Selection(selected=frozenset({"namespace-selected"})),
        "namespace_not_observed",
    ),
    from_pod("namespace-all", "without such settings every namespace is observed", OTHER, Selection(), None),
    Scenario(
        "blacklisted-server",
        "what a pod of a blacklisted namespace accepts is left out, too",
        pods=(ScenarioPod("web"), ScenarioPod("shop", (8080,), namespace="elsewhere")),
        steps=(connect("web", "pod shop", 8080, 19),),
        edges=(web_to_shop(19),),
        taken_left=(Left("namespace_blacklisted", 19, "a"),),
        selection=Selection(blacklisted=frozenset({"elsewhere"})),
    ),
)
