"""Who may use a stream: writers by `X-Harness-Token`, people by the key of the API.

A `WriterSource` recognises credentials of other systems (a host's access key, a delegate's token).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request

from manager.http.failed_auth import FailedAuth
from manager.http.responses import unavailable
from manager.store.database import Store
from manager.store.logs.reads import find_stream
from manager.store.logs.tokens import LogWriter, find_log_writer
from manager.store.tenancy import Tenant
from manager.store.tokens.issued import authenticate
from manager.worker_threads import run_in_thread
from podsonar.errors import StoreError

# token, account, key, now → who writes; None where the token is none of its own.
WriterSource = Callable[[str, str, str, int], LogWriter | None]


class Caller(NamedTuple):
    """Who asks: `id` names a writer's lines, `scope` is where a stream that it opens belongs."""

    id: str
    is_writer: bool
    scope: dict[str, str]
    may_write: Callable[[str, str], bool]  # account, key


class LogAccess:
    """Checks the credentials of a request; failures are counted per address."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        refused: Callable[[str], object],
        sources: Sequence[WriterSource] = (),
    ) -> None:
        self.store, self.clock, self.refused, self.sources = store, clock, refused, sources
        self.failures = FailedAuth(clock)

    async def require_writer(self, request: Request, account: str, key: str, *, uploads: bool = False) -> Caller:
        """The writer of a stream: 401 for a wrong token, 403 for another account's or another key's.

        `uploads`: the token of an upload link will do.
        """
        return await self.require(request, account, key, people=False, uploads=uploads)

    async def require_reader(self, request: Request, account: str, key: str) -> Caller:
        """The writer of a stream, or a person who may read it."""
        return await self.require(request, account, key, people=True, uploads=False)

    async def require(self, request: Request, account: str, key: str, *, people: bool, uploads: bool) -> Caller:
        """The caller by whichever credential the request carries."""
        text = request.headers.get("x-harness-token", "") or request.query_params.get("X-Harness-Token", "")
        person = person_key(request) if people else ""
        address = request.client.host if request.client else ""
        try:
            self.failures.check(address, text or person)
            if text:
                caller = await run_in_thread(self.find_writer, text, account, key, uploads)
            else:
                caller = await run_in_thread(self.find_person, person, account, key)
        except StoreError as error:
            raise unavailable(error) from error
        except HTTPException as error:
            reason = {403: "wrong_stream", 429: "too_many"}.get(error.status_code, "wrong_token")
            self.refused(reason if text or person else "no_token")
            if error.status_code == 401:
                self.failures.failed(address, text or person)
            raise
        self.failures.succeeded(text or person)
        return caller

    def find_writer(self, text: str, account: str, key: str, uploads: bool) -> Caller:
        """The writer of a token."""
        now_ns = self.clock()
        found = find_log_writer(self.store, text, now_ns)
        for source in self.sources:
            found = found or source(text, account, key, now_ns)
        if found is None or (found.upload_only and not uploads):
            raise unauthorized()
        if not found.may_write(account, key):
            raise HTTPException(403, "the token is for another account or another key")
        scope = {"organization": found.organization, "project": found.project}
        return Caller(found.id, is_writer=True, scope=scope, may_write=found.may_write)

    def find_person(self, text: str, account: str, key: str) -> Caller:
        """The person of a key: 403 for another account's stream, 404 for one of another part of the account."""
        principal = authenticate(self.store, text, "read", self.clock())
        if principal is None:
            raise unauthorized()
        tenant = principal.tenant
        if principal.agent_id is not None or tenant.account not in {"", account}:
            raise HTTPException(403, "the key is of another account, or reads one cluster alone")
        if tenant.organization:
            stream = find_stream(self.store, account, key)
            if stream is None or not tenant.includes(Tenant(*(str(stream[name]) for name in Tenant._fields))):
                raise HTTPException(404, "no such stream")
        return Caller(principal.token_id, is_writer=False, scope={}, may_write=lambda _account, _key: False)


def person_key(request: Request) -> str:
    """The key of a person, from `X-API-Key` or `Authorization: Bearer`."""
    key = request.headers.get("x-api-key", "")
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    return key or (rest.strip() if scheme.lower() == "bearer" else "")


def unauthorized() -> HTTPException:
    """The one answer to every wrong, unknown or missing credential."""
    return HTTPException(401, "no or wrong token", headers={"WWW-Authenticate": "X-Harness-Token"})
