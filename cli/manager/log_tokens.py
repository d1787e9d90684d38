"""`podsonar manager log-token`: tokens that write to the log service."""

import secrets
import time
from contextlib import closing

import click

from cli.manager.stores import open_store
from cli.options import settings_options
from manager.store.logs.tokens import create_log_token
from podsonar.errors import UsageError
from podsonar.settings import ManagerSettings
from podsonar.timestamp import NS_PER_SECOND

DAY_NS = 24 * 3600 * NS_PER_SECOND


@click.command("log-token")
@settings_options(ManagerSettings)
@click.option("--account", required=True, help="The account whose streams the token writes.")
@click.option("--key-prefix", default="", help="Keys that begin with it, up to `-`, `/` or `:`; without it, every key.")
@click.option("--days", type=click.IntRange(1, 3650), help="After how many days the token expires; without it, never.")
def log_token(settings: ManagerSettings, account: str, key_prefix: str, days: int | None) -> None:
    """Print a new token that writes to the log service, this once."""
    if not 1 <= len(account) <= 128 or not account.isprintable():
        raise UsageError(f"--account is {account[:80]!r}, expected 1 to 128 printable characters")
    now_ns = time.time_ns()
    expires_ns = now_ns + days * DAY_NS if days else None
    with closing(open_store(settings)) as store, store.writing() as connection:
        token = create_log_token(connection, account, key_prefix, now_ns, secrets.token_bytes, expires_ns=expires_ns)
    click.echo(token)
