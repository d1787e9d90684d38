"""Reads the manager's API with a key from a file: the client of the commands that people and pipelines run."""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import httpx
import msgspec
import orjson

from delivery.manager_url import stays_inside, without_user
from delivery.token_file import read_token
from podsonar.cookies import no_cookies
from podsonar.errors import PodsonarError, UsageError
from podsonar.keep_alive import CLIENT_IDLE_SECONDS
from podsonar.logs_and_probes import escape
from podsonar.supervised import place_of

PREFIX = "/api/v1"
TENANT = ("accountIdentifier", "organizationIdentifier", "projectIdentifier", "environmentIdentifier")
AGENT_HELP = "The cluster; needed if there are several. A tenant's is ACCOUNT/ORGANIZATION/PROJECT/ENVIRONMENT/NAME."
TIMEOUT = httpx.Timeout(30.0, connect=5.0)
MOST_BYTES = 256 << 20
EXPECTED = "expected a Podsonar manager of this version at --manager"


class ManagerApiError(PodsonarError):
    """The manager cannot be reached, refuses, or gives an answer of another program; `exit_code` is its command's."""

    def __init__(self, text: str, exit_code: int = 1) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class ManagerApi:
    """One manager, read with one key; `agent` is the cluster that the commands ask for.

    An agent of a tenant is `ACCOUNT/ORGANIZATION/PROJECT/ENVIRONMENT/NAME`, in which parts may be empty. `exit_code` is
    that of a command without an answer: commands whose 1 says something set another one before they ask.
    """

    def __init__(self, url: str, key: str, agent: str = "", ca_file: Path | None = None) -> None:
        self.exit_code = 1
        self.asked = ""  # method and path of the last answer
        *tenant, self.agent = agent.split("/")
        if len(tenant) not in {0, len(TENANT)}:
            raise UsageError(f"--agent is {agent!r}: expected NAME, or ACCOUNT/ORGANIZATION/PROJECT/ENVIRONMENT/NAME")
        check_url(url)
        try:
            self.http = httpx.Client(
                base_url=url.rstrip("/"),
                headers={"X-API-Key": key},
                params=dict(zip(TENANT, tenant, strict=False)),
                timeout=TIMEOUT,
                limits=httpx.Limits(keepalive_expiry=CLIENT_IDLE_SECONDS),
                cookies=no_cookies(),
                verify=str(ca_file) if ca_file else True,
            )
        except (OSError, ValueError, httpx.InvalidURL) as error:
            raise UsageError(f"--manager is {url!r} or --ca-file unusable: {type(error).__name__}") from error

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - JSON
        """The JSON object at a path below the prefix; ManagerApiError with the status and the manager's message."""
        return self.json("GET", PREFIX + path, params=dict(params or {}))

    def json(self, method: str, path: str, **options: Any) -> Any:  # noqa: ANN401 - JSON, httpx's options
        """The JSON object of an answer; ManagerApiError for another one, such as the page of a proxy's login."""
        answer = self.request(method, path, **options)
        try:
            found = orjson.loads(answer.content)
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            kind = escape(answer.headers["Content-Type"][:80]) or "no type"
            raise self.error(f"manager answered {method} {path} with {kind} that is no JSON object; {EXPECTED}")
        return found

    def error(self, text: str) -> ManagerApiError:
        """What ends the command."""
        return ManagerApiError(text, self.exit_code)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own
        """A response with status 2xx, of bounded size."""
        content = bytearray()
        try:
            with self.http.stream(method, path, **options) as response:
                for part in response.iter_bytes():
                    content += part
                    if len(content) > MOST_BYTES:
                        raise self.error(f"{method} {path}: the answer has more than {MOST_BYTES >> 20} MiB")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            text = f"manager {self.http.base_url}: {type(error).__name__} at {method} {path}"
            raise self.error(f"{text}; expected a running manager at --manager") from error
        self.asked = f"{method} {path}"
        if response.status_code // 100 != 2:
            message = message_of(bytes(content))
            raise self.error(f"manager answered {response.status_code} to {method} {path}{message}")
        return httpx.Response(
            response.status_code,
            headers={"Content-Type": response.headers.get("Content-Type", "")},
            content=bytes(content),
        )

    @property
    def agent_path(self) -> str:
        """`/agents/NAME` of the agent; without --agent, of the only one that the key reads."""
        if not self.agent:
            found = [str(one["identity"]) for one in self.get("/agents", {"all": "true"})["items"]]
            if len(found) != 1:
                raise UsageError(
                    f"the manager has {len(found)} agents: expected --agent NAME, one of {', '.join(found)}"
                )
            self.agent = found[0]
        return f"/agents/{self.agent}"

    def map(self, window: str) -> dict[str, Any]:
        """The map of a window, by id or `latest`."""
        found: dict[str, Any] = self.get(f"{self.agent_path}/map", {"window": window})
        return found


@contextmanager
def believed_answers(api: ManagerApi) -> Iterator[None]:
    """Around a command: an answer that is not made as the manager makes it ends the command with one sentence."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, msgspec.MsgspecError) as error:
        if not api.asked:
            raise
        text = f"manager's answer to {api.asked} is not what was expected ({type(error).__name__} at {place_of(error)})"
        raise api.error(f"{text}; {EXPECTED}") from error


def check_url(url: str) -> None:
    """UsageError for an address that cannot work, or where the key would travel in the clear."""
    try:
        parts = urlsplit(url)
        _port = parts.port  # whether it is one
    except ValueError as error:
        raise UsageError(f"--manager is {without_user(url)!r}: {error}; expected https://host[:port]") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise UsageError(f"--manager is {without_user(url)!r}: expected https://host[:port] without a user")
    if parts.scheme == "http" and not stays_inside(parts.hostname):
        raise UsageError(f"--manager is {url!r}: expected https, since a key would travel in the clear")


def message_of(content: bytes) -> str:
    """The message of an error answer, as `: text`."""
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:
        return ""
    text = found.get("message") if isinstance(found, dict) else None
    return f": {text[:300]}" if isinstance(text, str) and text.isprintable() else ""


def manager_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: adds --manager, --key-file, --ca-file and --agent, and passes `api`, a ManagerApi or None."""

    @functools.wraps(function)
    def wrapper(manager: str | None, key_file: Path | None, ca_file: Path | None, agent: str, **given: Any) -> Any:  # noqa: ANN401
        api = None
        if manager:
            if key_file is None:
                raise UsageError("--manager wants --key-file, a file with a key of scope read")
            try:
                key = read_token(key_file)
            except OSError as error:
                raise UsageError(f"key file {str(key_file)!r}: {error.strerror}; expected a readable file") from error
            api = ManagerApi(manager, key, agent, ca_file)
            click.get_current_context().call_on_close(api.http.close)
        with believed_answers(api) if api else nullcontext():
            return function(api=api, **given)

    decorated: Callable[..., Any] = wrapper
    path = click.Path(path_type=Path, dir_okay=False)
    for option in (
        click.option(
            "--agent",
            default="",
            envvar="PODSONAR_AGENT",
            help=AGENT_HELP,
        ),
        click.option("--ca-file", type=path, envvar="PODSONAR_CA_FILE", help="Certificates that sign the manager's."),
        click.option("--key-file", type=path, envvar="PODSONAR_KEY_FILE", help="File with a key of scope read."),
        click.option("--manager", metavar="URL", envvar="PODSONAR_MANAGER", help="The manager's address."),
    ):
        decorated = option(decorated)
    return decorated
