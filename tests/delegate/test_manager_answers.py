"""delegate/poll.py: a report is accepted by the manager alone, whatever a proxy answers."""

from pathlib import Path

import pytest

from delegate.poll import Manager
from delegate.task import TaskReport
from podsonar.errors import ManagerUnavailableError
from podsonar.settings import DelegateRules, DelegateSettings, ManagerEndpoint
from tests.answering_server import GivenAnswer, answering

REPORT = TaskReport(delegate_id="d", attempt=1, status="SUCCESS", message="", objects=[], agent_details=None)


@pytest.mark.parametrize("page", [b"<html>login</html>", b"", b"{}"])
def test_page_of_a_proxy_accepts_no_report(page: bytes, tmp_path: Path) -> None:
    """It would end a task of which the manager knows nothing."""
    (tmp_path / "token").write_text("podsonar_" + "a" * 40)
    bodies = [page, b'{"accepted":true}']
    with answering(lambda _request: GivenAnswer(200, bodies.pop(0))) as url:
        endpoint = ManagerEndpoint(url=url, allow_insecure_http=True, token_file=str(tmp_path / "token"))
        rules = DelegateRules(name="d", namespaces=["n"], image_prefixes=["x"])
        manager = Manager(DelegateSettings(delegate=rules, manager=endpoint))
        try:
            with pytest.raises(ManagerUnavailableError, match="did not accept"):
                manager.report("t", REPORT)
            assert manager.report("t", REPORT) == 200
        finally:
            manager.close()
