"""`podsonar logs`: a log stream of the manager's log service, printed; with --follow as it is written."""

import time
from collections.abc import Iterator
from typing import Any

import click
import httpx
import orjson
from httpx_sse import SSEError, connect_sse

from cli.manager_api import ManagerApi, ManagerApiError, manager_options
from podsonar.errors import UsageError
from podsonar.logs_and_probes import escape
from podsonar.manager_paths import LOG_SERVICE

BLOB, STREAM = f"{LOG_SERVICE}/blob", f"{LOG_SERVICE}/stream"
READ_SECONDS = 90.0  # the manager sends a ping every 30 s
AGAIN_SECONDS = 1.0


def format_line(line: dict[str, Any]) -> str:
    """The line for a terminal: time, level, text, then the arguments."""
    args = line.get("args") or {}
    words = [str(line.get("time") or "-"), f"{line.get('level') or '-':5}", str(line.get("out", ""))]
    words += [f"{name}={value}" for name, value in args.items()]
    if "podsonar" in line:
        words.append(f"({line['podsonar']})")
    return escape(" ".join(words).rstrip("\n"))


def follow(api: ManagerApi, query: dict[str, str]) -> Iterator[bytes]:
    """The lines of a stream so far and those that come, until it is closed; a broken connection is made again."""
    last = ""
    while True:
        headers = {"Last-Event-ID": last} if last else {}
        timeout = httpx.Timeout(READ_SECONDS, connect=5.0)
        try:
            with connect_sse(api.http, "GET", STREAM, params=query, headers=headers, timeout=timeout) as source:
                status = source.response.status_code
                if status in (429, 502, 503, 504):
                    time.sleep(AGAIN_SECONDS)
                    continue
                if status != 200:
                    raise ManagerApiError(f"manager answered {status} to GET {STREAM}; expected a key that may read it")
                for event in source.iter_sse():
                    if event.event == "error":
                        if event.data == "eof" and is_closed(api, query):
                            return
                        break
                    last = event.id or last
                    yield event.data.encode()
        except (httpx.HTTPError, SSEError):
            time.sleep(AGAIN_SECONDS)


def is_closed(api: ManagerApi, query: dict[str, str]) -> bool:
    """Whether the stream is closed; else only the time of one answer was over."""
    return not api.json("GET", f"/v1/logs/{query['key']}/info", params={"accountID": query["accountID"]})["isOpen"]


@click.command()
@click.argument("key")
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on until the stream is closed.")
@click.option(
    "--account", default="default", show_default=True, envvar="PODSONAR_ACCOUNT", help="The stream's account."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document per line, as it was written.")
@manager_options
def logs(key: str, follows: bool, account: str, as_json: bool, api: ManagerApi | None) -> None:
    """Print the log stream KEY."""
    if api is None:
        raise UsageError("expected --manager URL and --key-file FILE")
    query = {"accountID": account, "key": key}
    lines = follow(api, query) if follows else iter(api.request("GET", BLOB, params=query).content.splitlines())
    for text in lines:
        line = orjson.loads(text)
        click.echo(text.decode("utf-8", "replace") if as_json else format_line(line))
