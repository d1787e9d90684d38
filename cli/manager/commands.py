"""`podsonar manager`: serve, migrate, and the tokens of agents and people."""

import secrets
import time
from collections.abc import Callable
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import Any

import click
import orjson

from chaos.control.mount import mount_chaos
from cli.manager.log_tokens import log_token
from cli.manager.stores import database_url, open_store
from cli.options import settings_options
from cli.reload import reload_on_hangup
from manager.installations.installations import take_away
from manager.server import serve
from manager.store.agents import list_agents, purge_agent, remove_agent
from manager.store.tenancy import Tenant
from manager.store.tokens.import_file import import_tokens, read_tokens
from manager.store.tokens.issued import (
    create_token,
    list_tokens,
    revoke_token,
    rotate_token,
)
from manager.store.tokens.token_format import Scope
from podsonar.errors import UsageError
from podsonar.logs_and_probes import escape, start_logs
from podsonar.malloc import return_large_blocks
from podsonar.settings import ManagerSettings
from podsonar.timestamp import NS_PER_SECOND, rfc3339

PARTS = (mount_chaos,)
HOUR_NS = 3600 * NS_PER_SECOND
DAY_NS = 24 * HOUR_NS
HEAPS = 2  # of the process; one thread runs Python at a time


@click.group()
def manager() -> None:
    """Store what agents push, serve the API and the map."""


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


manager.add_command(log_token)


@manager.command("serve")
@settings_options(ManagerSettings)
def serve_command(settings: ManagerSettings) -> None:
    """Serve until SIGTERM."""
    return_large_blocks(heaps=HEAPS)
    start_logs(settings.log.level, settings.log.format)
    import_tokens_file(settings)
    reload_on_hangup(settings, import_tokens_file)
    serve(settings, database_url(settings), lambda url: click.echo(f"manager: {url}/", err=True), PARTS)


@manager.command()
@settings_options(ManagerSettings)
def migrate(settings: ManagerSettings) -> None:
    """Bring the database's schema up to date."""
    open_store(settings).close()
    click.echo("schema is up to date", err=True)


def tenant_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the four options that name a tenant; the command gets them as `tenant`."""

    @wraps(command)
    def with_tenant(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - what click passes
        return command(*given, tenant=Tenant(*(named.pop(part) for part in Tenant._fields)), **named)

    for part in reversed(Tenant._fields):
        with_tenant = click.option(f"--{part}", default="", help=f"The tenant's {part}.")(with_tenant)
    return with_tenant


@manager.group()
def token() -> None:
    """Tokens of agents and keys of people."""


@token.command("create")
@settings_options(ManagerSettings)
@click.option(
    "--agent", help="The cluster's agent, created if there is none; with --scope read or admin the key is for it alone."
)
@click.option(
    "--scope",
    type=click.Choice(["ingest", "read", "admin", "delegate"]),
    default="ingest",
    help="read, admin: an API key for a person, who may read, or read and change; delegate: the token of a delegate.",
)
@click.option("--name", help="Whose key or token it is, with another scope than ingest.")
@click.option("--days", type=click.IntRange(1, 3650), help="After how many days the token expires; without it, never.")
@tenant_options
def create(
    settings: ManagerSettings, agent: str | None, scope: Scope, name: str | None, days: int | None, tenant: Tenant
) -> None:
    """Print a new token, this once."""
    now_ns = time.time_ns()
    expires_ns = now_ns + days * DAY_NS if days else None
    if scope != "ingest":
        if not name:
            raise UsageError(f"--scope {scope} wants --name")
    elif not agent:
        raise UsageError("expected --agent NAME, or --scope read --name NAME")
    with closing(open_store(settings)) as store:
        made = create_token(
            store,
            scope,
            (agent if scope == "ingest" else name) or "",
            now_ns,
            secrets.token_bytes,
            agent=agent or "",
            tenant=tenant,
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
        tenant = "/".join(escape(row[part]) for part in Tenant._fields)
        owner = f"{escape(row['name'])}{f'  {tenant}' if tenant.strip('/') else ''}"
        line = f"{row['id']}  {row['scope']:6}  {owner}  {rfc3339(row['created_ns'])}  {state}{used}"
        click.echo(line)


@token.command()
@settings_options(ManagerSettings)
@click.argument("token_id")
@click.option("--hours", type=click.IntRange(0, 720), default=24, help="How long the old token stays good beside it.")
def rotate(settings: ManagerSettings, token_id: str, hours: int) -> None:
    """Print a new token in place of one. The one with this id expires after the overlap."""
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
        tenant = f"  {'/'.join(map(escape, row.tenant))}" if any(row.tenant) else ""
        click.echo(f"{row.id}  {escape(row.identity)}  {rfc3339(row.created_ns)}{tenant}")


@agent.command()
@settings_options(ManagerSettings)
@click.argument("name")
@tenant_options
def remove(settings: ManagerSettings, name: str, tenant: Tenant) -> None:
    """Remove an agent. Its tokens get 404 from now on, it is in no list; what it sent stays until it is too old."""
    with closing(open_store(settings)) as store:
        left = take_away(store, name, tenant, time.time_ns(), secrets.token_bytes)
        remove_agent(store, name, time.time_ns(), tenant)
    click.echo(f"agent {escape(name)} is removed", err=True)
    if left:
        click.echo(f"{left} objects in its cluster are being deleted by the delegate", err=True)


@agent.command()
@settings_options(ManagerSettings)
@click.argument("name")
@tenant_options
def purge(settings: ManagerSettings, name: str, tenant: Tenant) -> None:
    """Delete the agent, its tokens and everything that it sent."""
    with closing(open_store(settings)) as store:
        if left := take_away(store, name, tenant, time.time_ns(), secrets.token_bytes):
            raise UsageError(
                f"a delegate has still to delete {left} objects of agent {name!r} in its cluster, expected none: "
                "they are being deleted, try again in a minute"
            )
        counts = purge_agent(store, name, tenant)
    for table, rows in counts.items():
        click.echo(f"{table}: {rows} rows deleted", err=True)
