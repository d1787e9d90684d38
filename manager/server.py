"""The manager's ports and its life: `serve` for the command, `serving` for a program."""

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import NamedTuple

import msgspec
import structlog
import uvicorn
from starlette.applications import Starlette

from delivery.manager_url import manager_url
from manager.app import make_app, make_metrics_app
from manager.history.service import History
from manager.http.body_limits import PushLimits
from manager.http.connections import ConnectionLimits, OpenConnections, guarded_protocol
from manager.installations.agent_values import Source
from manager.metrics import ManagerMetrics
from manager.parts import Part
from manager.store.database import Store
from manager.tls import Certificate
from podsonar.errors import SettingsError
from podsonar.settings import ManagerConnection, ManagerEndpoint, ManagerSettings

DEFAULTS = ManagerSettings()
LIMITS = PushLimits()
CONNECTIONS = ConnectionLimits()
METRICS_CONNECTIONS = ConnectionLimits(total=64, per_address=64, exchange_seconds=30.0)
BACKLOG = 256
HANDSHAKE_SECONDS = 10.0
GRACE_SECONDS = 5  # for answers that are under way at SIGTERM
END_SECONDS = 6.0  # from SIGTERM to the end, whatever a database or a reader does
CERTIFICATE_SECONDS = 5.0

log = structlog.get_logger()


class Port(NamedTuple):
    """A bound socket and what it serves."""

    bound: socket.socket
    config: uvicorn.Config
    certificate: Certificate | None = None


class ManagerServer(uvicorn.Server):
    """uvicorn's server on several ports; the first one's application has the lifespan."""

    def __init__(self, ports: list[Port]) -> None:
        super().__init__(ports[0].config)
        self.ports = ports

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on every port."""
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        self.servers = []
        for port in self.ports:
            tls = port.certificate.context if port.certificate else None
            self.servers.append(
                await loop.create_server(
                    self.protocol_factory(port.config),
                    sock=port.bound,
                    backlog=BACKLOG,
                    ssl=tls,
                    ssl_handshake_timeout=HANDSHAKE_SECONDS if tls else None,
                )
            )
            if port.certificate:
                self.follow(port.certificate)
        self.started = True

    def protocol_factory(self, config: uvicorn.Config) -> Callable[[], asyncio.Protocol]:
        """The factory of each connection's protocol."""
        if not config.loaded:
            config.load()
        return lambda: config.http_protocol_class(  # type: ignore[call-arg]
            config=config, server_state=self.server_state, app_state=self.lifespan.state
        )

    def follow(self, certificate: Certificate) -> None:
        """Read the certificate again while the server runs."""
        certificate.refresh()
        asyncio.get_running_loop().call_later(CERTIFICATE_SECONDS, self.follow, certificate)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; what has not ended in time is cut: every commit is whole, as after a crash."""
        super().handle_exit(sig, frame)
        cut = threading.Timer(END_SECONDS, end_now)
        cut.daemon = True
        cut.start()


def end_now() -> None:
    """End the process although something still waits."""
    log.warning("shutdown_cut", seconds=END_SECONDS)
    os._exit(0)


def split_listen(listen: str, setting: str = "listen") -> tuple[str, int]:
    """Host and port of `host:port`, `[v6]:port` or `:port`."""
    host, _, port = listen.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise SettingsError(f"{setting} is {listen!r}, expected host:port such as 127.0.0.1:8080")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - what an empty host means


def bind(listen: str, setting: str) -> socket.socket:
    """A bound TCP socket; with its protocol's number, by which asyncio recognises TCP."""
    host, port = split_listen(listen, setting)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise SettingsError(f"{setting} is {listen!r}: {error.strerror}") from error
    return bound


def port_config(app: Starlette, opened: OpenConnections, lifespan: str) -> uvicorn.Config:
    """Uvicorn's configuration of one port."""
    return uvicorn.Config(
        app,
        log_level="critical",  # refusals and errors are counted and logged by the application
        access_log=False,
        server_header=False,
        lifespan=lifespan,  # type: ignore[arg-type]
        http=guarded_protocol(opened),
        ws="none",
        timeout_keep_alive=opened.limits.head_seconds,  # type: ignore[arg-type]
        timeout_graceful_shutdown=GRACE_SECONDS,
        proxy_headers=False,
    )


def source_of_agents(settings: ManagerSettings) -> Source:
    """Where agents that delegates install push to, and where their images are; SettingsError for another URL."""
    agents = settings.agents
    if agents.url:
        manager_url(
            ManagerConnection(manager=ManagerEndpoint(url=agents.url, allow_insecure_http=agents.allow_insecure_http))
        )
    return Source(agents.url.rstrip("/"), agents.allow_insecure_http, agents.ca_secret, agents.registry, agents.tag)


def make_server(
    settings: ManagerSettings,
    database: str,
    clock: Callable[[], int] = time.time_ns,
    limits: PushLimits = LIMITS,
    connections: ConnectionLimits = CONNECTIONS,
    parts: Sequence[Part] = (),
) -> ManagerServer:
    """A server over a migrated database, its sockets bound."""
    with ExitStack() as undo:
        bound = undo.enter_context(bind(settings.listen, "listen"))
        for_metrics = settings.metrics.listen
        metrics_socket = undo.enter_context(bind(for_metrics, "metrics.listen")) if for_metrics else None
        certificate = None
        if settings.tls.certificate_file or settings.tls.key_file:
            certificate = Certificate(settings.tls.certificate_file, settings.tls.key_file)
        store = Store(database)
        store.migrate()
        metrics = ManagerMetrics()
        metrics.follow_store(store, clock)
        history = History(store, settings.history, clock)
        history.on_window = lambda brought: metrics.count_window(*brought)
        app = make_app(
            store,
            metrics,
            clock,
            settings.retention_days,
            limits,
            history,
            settings.quota,
            serves_metrics=metrics_socket is None,
            parts=parts,
            agents=source_of_agents(settings),
        )
        opened = OpenConnections(connections, metrics.connections_refused.inc)
        ports = [Port(bound, port_config(app, opened, "on"), certificate)]
        if metrics_socket is not None:
            opened = OpenConnections(METRICS_CONNECTIONS, metrics.connections_refused.inc)
            ports.append(Port(metrics_socket, port_config(make_metrics_app(store, metrics), opened, "off")))
        undo.pop_all()
    return ManagerServer(ports)


def serve(
    settings: ManagerSettings,
    database: str,
    ready: Callable[[str], None] = lambda _url: None,
    parts: Sequence[Part] = (),
) -> None:
    """Serve until SIGTERM or SIGINT; `ready` gets the URL once the sockets are bound."""
    server = make_server(settings, database, parts=parts)

    def end(_number: int, _frame: FrameType | None) -> None:
        """What uvicorn falls back to before and after its own handlers: it sends itself the signal again at its end."""
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    ready(url_of(server.ports[0]))
    server.run()


@contextmanager
def serving(
    database: str,
    listen: str = "127.0.0.1:0",
    clock: Callable[[], int] = time.time_ns,
    limits: PushLimits = LIMITS,
    connections: ConnectionLimits = CONNECTIONS,
    parts: Sequence[Part] = (),
    settings: ManagerSettings = DEFAULTS,
) -> Iterator[str]:
    """The URL of a manager that runs in a thread of this process until the block ends."""
    server = make_server(msgspec.structs.replace(settings, listen=listen), database, clock, limits, connections, parts)
    thread = threading.Thread(target=server.run, name="manager", daemon=True)
    url = url_of(server.ports[0])
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def url_of(port: Port) -> str:
    """The URL of a port."""
    host, number = port.bound.getsockname()[:2]
    scheme = "https" if port.certificate else "http"
    return f"{scheme}://[{host}]:{number}" if ":" in host else f"{scheme}://{host}:{number}"
