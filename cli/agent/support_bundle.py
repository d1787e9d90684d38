"""`podsonar agent support-bundle`: one file with everything that helps to diagnose a node, and no secret."""

import io
import platform
import tarfile
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import msgspec
import orjson

from cli.options import settings_options
from podsonar.errors import UsageError
from podsonar.logs_and_probes import listen_address
from podsonar.masking import masked
from podsonar.settings import AgentSettings

REACHED_AT = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 - what is listened on, from here


def scrape_metrics(listen: str) -> str:
    """The running agent's metrics, or why there are none."""
    if not listen:
        return "# metrics.listen is not set\n"
    host, port = listen_address("metrics.listen", listen)
    connection = HTTPConnection(REACHED_AT.get(host, host), port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        return f"# no answer from metrics.listen {listen}: {type(error).__name__}\n"
    finally:
        connection.close()


def spool_files(folder: Path) -> list[dict[str, Any]]:
    """Names, sizes and times of what waits in the spool; never its content."""
    found = []
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        about = path.lstat()
        found.append({"name": str(path.relative_to(folder)), "bytes": about.st_size, "modified": int(about.st_mtime)})
    return found


def bundle_files(settings: AgentSettings, user_error: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file of the bundle."""
    from cli.agent.commands import loader_command  # noqa: PLC0415 - it imports this module
    from node_agent.preflight.checks import check_all  # noqa: PLC0415 - other commands need none of it
    from node_agent.preflight.probes import gather_facts  # noqa: PLC0415

    def packed(value: object) -> bytes:
        return orjson.dumps(masked(value), option=orjson.OPT_INDENT_2)

    versions = {
        "podsonar": version("podsonar"),
        "python": platform.python_version(),
        "machine": platform.uname()._asdict(),
    }
    yield "version.json", packed(versions)
    yield "settings.json", packed(msgspec.to_builtins(settings))
    facts = gather_facts(settings, loader_command(), user_error)
    yield "preflight.json", packed([line._asdict() for line in check_all(facts)])
    yield "spool.json", packed(spool_files(Path(settings.spool.folder)))
    yield "metrics.txt", masked(scrape_metrics(settings.metrics.listen)).encode()


@click.command("support-bundle")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@settings_options(AgentSettings)
def support_bundle(file: Path, settings: AgentSettings) -> None:
    """Write FILE (.tar.gz) for who helps. Versions, settings, preflight, metrics, what waits; no token, no record."""
    from cli.agent.commands import give_up_root_or_say  # noqa: PLC0415 - it imports this module

    try:
        with tarfile.open(file, "w:gz") as bundle:
            user_error = give_up_root_or_say(settings, settings.spool.folder)
            for name, content in bundle_files(settings, user_error):
                about = tarfile.TarInfo(f"podsonar-support/{name}")
                about.size = len(content)
                bundle.addfile(about, io.BytesIO(content))
    except OSError as error:
        raise UsageError(f"bundle file {str(file)!r}: {error.strerror}; expected a file to write to") from error
    click.echo(f"{file}: look through it before you send it", err=True)
