"""The API server's own audit log at metadata level: which program requested what, and sums of it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

import orjson

from podsonar.model import Window
from podsonar.timestamp import rfc3339

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
LOG_MEGABYTES = 200


@dataclass(frozen=True, slots=True)
class AuditedRequest:
    """One request: its user and user agent, verb, resource, and the maximum number of objects (0: no limit)."""

    user: str
    user_agent: str
    verb: str
    resource: str
    limit: int = 0

    @property
    def what(self) -> str:
        """Verb and resource; `peek` is a list of one object, which returns the server's current resource version."""
        return f"{'peek' if self.limit == 1 else self.verb} {self.resource}"

    @property
    def program(self) -> str:
        """The user agent up to its version."""
        return self.user_agent.partition("/")[0] or "(none)"


def audit_arguments(folder: Path, log: Path) -> list[str]:
    """The arguments of kube-apiserver that write each request to the log."""
    policy = folder / "audit-policy.json"
    policy.write_bytes(orjson.dumps(POLICY))
    log.parent.mkdir(parents=True, exist_ok=True)
    return [
        f"--audit-policy-file={policy}",
        f"--audit-log-path={log}",
        f"--audit-log-maxsize={LOG_MEGABYTES}",
        "--audit-log-maxbackup=1",
    ]


def requests(lines: Iterable[bytes], window: Window) -> Iterator[AuditedRequest]:
    """The requests received in the window, each once: a watch has one line at its start and one at its end."""
    start, end = rfc3339(window.start_ns), rfc3339(window.end_ns)  # as the log writes times
    seen: set[str] = set()
    for line in lines:
        if not line.endswith(b"\n"):
            break  # the server is writing it
        event = orjson.loads(line)
        received = event["requestReceivedTimestamp"]
        if not start <= received < end or event["auditID"] in seen:
            continue
        seen.add(event["auditID"])
        about = event.get("objectRef", {})
        resource = "/".join(about[key] for key in ("resource", "subresource") if key in about)
        path, _, query = event["requestURI"].partition("?")
        limit = int(parse_qs(query).get("limit", ["0"])[0])
        yield AuditedRequest(
            event["user"]["username"], event.get("userAgent", ""), event["verb"], resource or path, limit
        )


def by_program(all_requests: Iterable[AuditedRequest]) -> Counter[str]:
    """The number of requests per program."""
    return Counter(request.program for request in all_requests)
