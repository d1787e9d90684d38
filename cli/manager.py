"""`podsonar manager`: serve, migrate, and the tokens of agents and people."""

import secrets
import time
from pathlib import Path

import click
import orjson

from cli.options import settings_options
from cli.reload import reload_on_hangup
from manager.server import serve
from manager.store.database import Store
from manager.store.token_import import import_tokens, read_tokens
from manager.store.tokens import create_token, list_tokens, revoke_token
from podsonar.errors import SettingsError, UsageError
from podsonar.logs_and_probes import start_logs
from podsonar.model import rfc3339
from podsonar.settings import ManagerSettings


@click.group()
def manager() -> None:
    """Store what agents push, serve the API and the map."""


def database_url(settings: ManagerSettings) -> str:
    """The database's URL, from its file where one is set."""
    if not settings.database_file:
        return settings.database
    try:
        url = Path(settings.database_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"setting databaseFile is {settings.database_file!r}: {error}; expected a readable file with a URL"
        ) from error
    if "://" not in url:
        raise SettingsError(f"setting databaseFile is {settings.database_file!r}: it holds no URL, expected one")
    return url


def open_store(settings: ManagerSettings) -> Store:
    """The migrated store."""
    store = Store(database_url(settings))
    store.migrate()
    return store


def import_tokens_file(settings: ManagerSettings) -> None:
    """Tokens of the settings' file, if there is one, are known from now on."""
    if not settings.tokens_file:
        return
    found = read_tokens(Path(settings.tokens_file))
    store = open_store(settings)
    try:
        for token in import_tokens(store, found, time.time_ns(), secrets.token_bytes):
            click.echo(f"manager: token {token.id} ({token.scope}, {token.name}) is new", err=True)
    finally:
        store.close()


@manager.command("serve")
@settings_options(ManagerSettings)
def serve_command(settings: ManagerSettings) -> None:
    """Serve until SIGTERM."""
    start_logs(settings.log.level, settings.log.format)
    import_tokens_file(settings)
    reload_on_hangup(settings, import_tokens_file)
    serve(settings, database_url(settings), lambda url: click.echo(f"manager: {url}/", err=True))


@manager.command()
@settings_options(ManagerSettings)
def migrate(settings: ManagerSettings) -> None:
    """Bring the database's schema up to date."""
    open_store(settings).close()
    click.echo("schema is up to date", err=True)


@manager.group()
def token() -> None:
    """Tokens of agents and keys of people."""


@token.command("create")
@settings_options(ManagerSettings)
@click.option("--agent", help="Ingest token for this agent (one agent a cluster); the agent is made if there is none.")
@click.option("--scope", type=click.Choice(["ingest", "read"]), help="read: an API key for a person.")
@click.option("--name", help="Whose key it is, with --scope read.")
def create(settings: ManagerSettings, agent: str | None, scope: str | None, name: str | None) -> None:
    """Print a new token, this once."""
    if scope == "read":
        if not name or agent:
            raise UsageError("--scope read wants --name and no --agent")
        made = create_token(open_store(settings), "read", name, time.time_ns(), secrets.token_bytes)
    elif agent:
        made = create_token(open_store(settings), "ingest", agent, time.time_ns(), secrets.token_bytes)
    else:
        raise UsageError("expected --agent NAME, or --scope read --name NAME")
    click.echo(made.text())


@token.command("list")
@settings_options(ManagerSettings)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def list_command(settings: ManagerSettings, as_json: bool) -> None:
    """Show the tokens' ids, never their secrets."""
    rows = list_tokens(open_store(settings))
    if as_json:
        click.echo(orjson.dumps(rows).decode())
        return
    for row in rows:
        state = f"revoked {rfc3339(row['revoked_ns'])}" if row["revoked_ns"] else "active"
        click.echo(f"{row['id']}  {row['scope']:6}  {row['name']}  {rfc3339(row['created_ns'])}  {state}")


@token.command()
@settings_options(ManagerSettings)
@click.argument("token_id")
def revoke(settings: ManagerSettings, token_id: str) -> None:
    """The token with this id opens nothing from now on."""
    revoke_token(open_store(settings), token_id, time.time_ns())
    click.echo(f"token {token_id} is revoked", err=True)
