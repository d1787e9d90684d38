"""`podsonar delegate preflight`: what a task would fail of, before there is one."""

import os
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.delegate.conftest import REPOSITORY, Site
from tests.delegate.test_rights import delegate_roles

pytestmark = pytest.mark.cluster


def preflight(site: Site, **rules: Any) -> tuple[int, dict[str, dict[str, str]]]:
    """Exit code, and the checks by name."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
    command = site.command("preflight", "--json", **rules)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout, done.stderr
    return done.returncode, {check["name"]: check for check in orjson.loads(done.stdout)["checks"]}


@pytest.mark.parametrize("rbac", ["preinstalled", "managed"])
def test_site_of_the_chart_passes(request: pytest.FixtureRequest, rbac: str) -> None:
    """Exit code 0, every check ok, and nothing is handed out."""
    site: Site = request.getfixturevalue("site" if rbac == "preinstalled" else "managed_site")
    code, checks = preflight(site)
    assert {check["state"] for check in checks.values()} == {"ok"}, checks
    assert code == 0


def test_what_is_missing_is_named(site: Site) -> None:
    """A rule, a namespace, a token: each by its name, with exit code 3."""
    (role,) = (one for one in delegate_roles(site.namespace, "preinstalled") if one["kind"] == "Role")
    role["rules"] = [rule for rule in role["rules"] if "secrets" not in rule["resources"]]
    site.plane.apply([role])
    site.token = site.token[:-1] + ("A" if site.token[-1] != "A" else "B")
    site.wait(lambda: preflight(site)[1][f"rights in {site.namespace}"]["state"] == "fail")
    code, checks = preflight(site, namespaces=[site.namespace, "nowhere"])
    assert code == 3
    assert "get secrets of API group ''" in checks[f"rights in {site.namespace}"]["found"]
    assert "nowhere" in checks["namespace nowhere"]["found"] or checks["namespace nowhere"]["found"] == "not there"
    assert "refuses the token" in checks["manager"]["found"]


@pytest.mark.parametrize(("data", "state"), [({"token": "t"}, "ok"), ({"token": ""}, "warn"), ({}, "warn")])
def test_agents_token_for_runners_is_looked_for(managed_site: Site, data: dict[str, str], state: str) -> None:
    """In each of the namespaces: in none of them no run with windows is brought, and everything else is."""
    site = managed_site
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "agents-token", "namespace": site.namespace}}
    site.plane.apply([body | {"stringData": data}])
    directory = {"url": "http://collector:8766", "secret": "agents-token"}
    code, checks = preflight(site, runners=True, directory=directory)
    assert (code, checks["agents' token"]["state"]) == (0, state), checks
    assert (
        f"Secret agents-token with token in {'' if state == 'ok' else 'none of '}{site.namespace}"
        == (checks["agents' token"]["found"])
    )


def test_manager_that_is_away_is_named(site: Site, tmp_path: Path) -> None:
    """And a setting that is missing."""
    site.url = "http://127.0.0.1:1"
    code, checks = preflight(site, imagePrefixes=[])
    assert code == 3
    assert checks["manager"]["state"] == "fail"
    assert "imagePrefixes" in checks["settings"]["found"]
