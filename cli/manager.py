"""`podsonar manager`: serve, migrate, and the tokens of agents and people."""

import secrets
import time
from contextlib import closing
from pathlib import Path

import click
import orjson

from cli.options import settings_options
from cli.reload import reload_on_hangup
from manager.server import serve
from manager.store.database import Store
from manager.store.token_import import import_tokens, read_tokens
from manager.store.tokens import (
    create_token,
    list_agents,
    list_tokens,
    purge_agent,
    remove_agent,
    revoke_token,
    rotate_token,
)
from podsonar.errors import SettingsError, UsageError
from podsonar.logs_and_probes import escape, start_logs
from podsonar.model import NS_PER_SECOND, rfc3339
from podsonar.settings import ManagerSettings

HOUR_NS = 3600 * NS_PER_SECOND
DAY_NS = 24 * HOUR_NS


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
@click.option(
    "--agent", help="The cluster's agent, created if there is none; with --scope read the key reads it alone."
)
@click.option("--scope", type=click.Choice(["ingest", "read"]), help="read: an API key for a person.")
@click.option("--name", help="Whose key it is, with --scope read.")
@click.option("--days", type=click.IntRange(1, 3650), help="After how many days the token expires; without it, never.")
def create(settings: ManagerSettings, agent: str | None, scope: str | None, name: str | None, days: int | None) -> None:
    """Print a new token, this once."""
    now_ns = time.time_ns()
    expires_ns = now_ns + days * DAY_NS if days else None
    if scope == "read":
        if not name:
            raise UsageError("--scope read wants --name")
    elif not agent:
        raise UsageError("expected --agent NAME, or --scope read --name NAME")
    with closing(open_store(settings)) as store:
        made = create_token(
            store,
            "read" if scope == "read" else "ingest",
            (name if scope == "read" else agent) or "",
            now_ns,
            secrets.token_bytes,
            agent=agent or "",
            expires_ns=expires_ns,
        )
    click.echo(made.text())


@token.command("list")
@settings_options(ManagerSettings)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def list_command(settings: ManagerSettings, as_json: bool) -> None:
    """Show the tokens' ids, never their secrets."""
    with closing(open_store(settings)) as store:
        rows = list_tokens(store)
    if as_json:
        click.echo(orjson.dumps(rows).decode())
        return
    for row in rows:
        state = f"revoked {rfc3339(row['revoked_ns'])}" if row["revoked_ns"] else "active"
        if row["expires_ns"] and not row["revoked_ns"]:
            state = f"{'expires' if row['expires_ns'] > time.time_ns() else 'expired'} {rfc3339(row['expires_ns'])}"
        used = f"  used {rfc3339(row['last_used_ns'])}" if row["last_used_ns"] else ""
        line = f"{row['id']}  {row['scope']:6}  {escape(row['name'])}  {rfc3339(row['created_ns'])}  {state}{used}"
        click.echo(line)


@token.command()
@settings_options(ManagerSettings)
@click.argument("token_id")
@click.option("--hours", type=click.IntRange(0, 720), default=24, help="How long the old token stays good beside it.")
def rotate(settings: ManagerSettings, token_id: str, hours: int) -> None:
    """Print a new token in place of the one with this id, which expires after the overlap."""
    with closing(open_store(settings)) as store:
        made = rotate_token(store, token_id, time.time_ns(), hours * HOUR_NS, secrets.token_bytes)
    click.echo(f"token {token_id} expires in {hours} h", err=True)
    click.echo(made.text())


@token.command()
@settings_options(ManagerSettings)
@click.argument("token_id")
def revoke(settings: ManagerSettings, token_id: str) -> None:
    """The token with this id opens nothing from now on."""
    with closing(open_store(settings)) as store:
        revoke_token(store, token_id, time.time_ns())
    click.echo(f"token {token_id} is revoked", err=True)


@manager.group()
def agent() -> None:
    """Clusters that push here."""


@agent.command("list")
@settings_options(ManagerSettings)
def list_agents_command(settings: ManagerSettings) -> None:
    """Show the agents' names and ids."""
    with closing(open_store(settings)) as store:
        rows = list_agents(store)
    for row in rows:
        click.echo(f"{row.id}  {escape(row.identity)}  {rfc3339(row.created_ns)}")


@agent.command()
@settings_options(ManagerSettings)
@click.argument("name")
def remove(settings: ManagerSettings, name: str) -> None:
    """The agent's tokens get 404 from now on and it is in no list; what it sent stays until it is too old."""
    with closing(open_store(settings)) as store:
        remove_agent(store, name, time.time_ns())
    click.echo(f"agent {escape(name)} is removed", err=True)


@agent.command()
@settings_options(ManagerSettings)
@click.argument("name")
def purge(settings: ManagerSettings, name: str) -> None:
    """Delete the agent, its tokens and everything that it sent."""
    with closing(open_store(settings)) as store:
        counts = purge_agent(store, name)
    for table, rows in counts.items():
        click.echo(f"{table}: {rows} rows deleted", err=True)
