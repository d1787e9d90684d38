"""A leased task as the delegate gets it: manifests are rendered, and the agent's token is made, at this moment.

The token is derived from the delegate's own (HMAC-SHA256, RFC 2104): the database holds nothing from which it could be
made, and a task that is handed out twice is the same list, so that applying it again changes nothing.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import msgspec
from sqlalchemy import Connection, select

from manager.installations.agent_manifests import Object, agent_objects, managed_by, namespace_object
from manager.installations.agent_values import Source, agent_values, install_namespace, member
from manager.installations.image_registry import apply_image_registry
from manager.installations.log_access import log_account
from manager.installations.tasks import LEASE_SECONDS, StoredTask, owned_by_agent
from manager.store.database import upsert
from manager.store.tables import AGENTS, TOKENS
from manager.store.tokens import token_format
from podsonar.timestamp import rfc3339

FIELD_MANAGER = "podsonar-delegate"
WAIT_SECONDS = 300.0


class AskedDirectory(msgspec.Struct, frozen=True):
    """The collector at which runners of a delegate order windows, and the member of a Secret with the agents' token."""

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
    secret: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]


class AskingDelegate(NamedTuple):
    """What a task is made for: the token that the delegate showed, how it reaches the manager, what its runners get."""

    token: token_format.Token
    manager_url: str
    allow_insecure_http: bool
    directory: AskedDirectory | None = None


# What a task of a run adds to the members of every task: its manifests, or what is to be deleted. ConfigRefusedError
# ends the task.
RunWire = Callable[[Connection, StoredTask, AskingDelegate, Source, int], dict[str, Any]]


def derived_token(delegate: token_format.Token, agent_id: str) -> token_format.Token:
    """The ingest token of an agent that this delegate's token installs."""
    return token_derived_for(delegate, "ingest", agent_id)


def token_derived_for(delegate: token_format.Token, scope: str, subject: str) -> token_format.Token:
    """The token of a scope that belongs to one agent or run."""
    secret = base64.urlsafe_b64encode(derived_bytes(delegate, f"{scope} secret", subject)).decode().rstrip("=")
    return token_format.Token(derived_bytes(delegate, f"{scope} id", subject)[:6].hex(), secret)


def derived_bytes(delegate: token_format.Token, label: str, subject: str) -> bytes:
    """32 bytes that only who has the delegate's token can compute."""
    return hmac.digest(delegate.secret.encode(), f"podsonar {label} {subject}".encode(), hashlib.sha256)


def register_token(connection: Connection, agent_id: str, token: token_format.Token, now_ns: int) -> None:
    """Store the hash of an agent's derived token; again: no change."""
    if connection.execute(select(TOKENS.c.id).where(TOKENS.c.id == token.id)).first() is not None:
        return
    agent = connection.execute(select(AGENTS).where(AGENTS.c.id == agent_id)).mappings().one()
    row = {name: agent[name] for name in ("account", "organization", "project", "environment")}
    row |= {"id": token.id, "scope": "ingest", "name": agent["identity"], "agent_id": agent_id}
    upsert(connection, TOKENS, [row | {"secret_sha256": token_format.digest(token), "created_ns": now_ns}])


def source_of(settings: Source, delegate: AskingDelegate) -> Source:
    """Where agents of this delegate's cluster push to: the manager's setting, else the way that the delegate takes."""
    if settings.manager_url:
        return settings
    return settings._replace(manager_url=delegate.manager_url, allow_insecure_http=delegate.allow_insecure_http)


def agent_manifests(config: dict[str, Any], source: Source, token: str, *, permanent: bool) -> list[Object]:
    """The objects of an agent, its namespace first where it makes that itself."""
    namespace = install_namespace(config)
    values = agent_values(config, source, token, permanent=permanent)
    objects = managed_by(agent_objects(values, namespace), FIELD_MANAGER)
    if member(config, "kubernetes").get("disableNamespaceCreation"):
        return objects
    return [namespace_object(namespace), *objects]


def task_wire(
    connection: Connection,
    task: StoredTask,
    delegate: AskingDelegate,
    settings: Source,
    now_ns: int,
    of_run: RunWire | None = None,
) -> dict[str, Any]:
    """The task as JSON: an agent's objects, a list that came with the task, what is to be deleted, or `of_run`'s."""
    found: dict[str, Any] = {
        "id": task.id,
        "attempt": task.attempt,
        "kind": task.kind,
        "leaseSeconds": LEASE_SECONDS,
        "expiresAt": rfc3339(task.expires_ns),
        "fieldManager": FIELD_MANAGER,
        "force": bool(task.body.get("force")),
        "await": {"seconds": task.body.get("awaitSeconds", WAIT_SECONDS)},
        "log": {"account": log_account(task.tenant), "key": task.log_key},
    }
    if task.run_id is not None and of_run is not None:
        return found | of_run(connection, task, delegate, settings, now_ns)
    if task.kind == "delete":
        objects = task.body.get("objects")
        if objects is None and task.agent_id is not None:
            _cluster, objects = owned_by_agent(connection, task.agent_id)
        return found | {"objects": objects or []}
    if task.agent_id is None or "config" not in task.body:
        return found | {"manifests": task.body.get("manifests", [])}
    token = derived_token(delegate.token, task.agent_id)
    register_token(connection, task.agent_id, token, now_ns)
    own = source_of(settings, delegate)
    source, config = apply_image_registry(connection, task.tenant, own, task.body["config"])
    manifests = agent_manifests(config, source, token.text(), permanent=task.body["permanent"])
    return found | {"manifests": manifests}
