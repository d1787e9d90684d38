"""chaos/linux_agent/lserver_client.py: a success that is not the manager's is no answer."""

from collections.abc import Callable

import pytest

from chaos.linux_agent.lserver_client import Answer, LserverClient, NoAnswerError
from podsonar.settings import LinuxAgentSettings, ManagerEndpoint
from tests.answering_server import GivenAnswer, answering

Ask = Callable[[LserverClient], Answer]
ASKED: dict[str, tuple[Ask, bytes]] = {
    "confirm": (lambda one: one.confirm("h", "1"), b'{"infraID": "i", "newAccessKey": "k"}'),
    "liveness": (lambda one: one.liveness(), b'{ "message": "OK" }'),
    "task": (lambda one: one.task(), b'{"taskList": [], "isActive": true}'),
    "status": (lambda one: one.status("t", "Running", "l"), b'{ "success": true }'),
    "logs": (lambda one: one.logs(b"[]", "r"), b'{ "success": true }'),
    "result": (lambda one: one.result("t", b"{}"), b""),
}


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("page", [b"<html>login</html>", b'"ok"', b'{"error": "sign in"}'])
def test_page_of_a_proxy_confirms_nothing(name: str, page: bytes) -> None:
    """Nothing is injected by it, and no line and no result is given up; the manager's own answer is one."""
    ask, right = ASKED[name]
    bodies = [page, right]
    with answering(lambda _request: GivenAnswer(200, bodies.pop(0))) as url:
        settings = LinuxAgentSettings(manager=ManagerEndpoint(url=url, allow_insecure_http=True))
        client = LserverClient(settings, lambda _status: None)
        try:
            with pytest.raises(NoAnswerError, match=f"200 with {len(page)} bytes, expected"):
                ask(client)
            assert ask(client).status == 200
        finally:
            client.close()


def test_refusal_has_any_body() -> None:
    """Its status says enough."""
    with answering(lambda _request: GivenAnswer(409, b"<html>")) as url:
        settings = LinuxAgentSettings(manager=ManagerEndpoint(url=url, allow_insecure_http=True))
        client = LserverClient(settings, lambda _status: None)
        try:
            assert client.result("t", b"{}") == Answer(409, {})
        finally:
            client.close()
