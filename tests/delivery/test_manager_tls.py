"""Certificates of manager and client, with a real TLS server: distrust sends nothing, rotation needs no restart."""

import datetime as dt
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from delivery.batch import Batch
from delivery.manager_client import probe_manager
from delivery.push import Pusher, PushOutcome
from delivery.spool import Spool
from delivery.token_file import TokenFile
from lab.controlplane.certificates import Authority, Pair
from podsonar.json_gzip import pack
from podsonar.settings import AgentConfiguration, ManagerEndpoint, Mtls, Proxy

NOW = dt.datetime.now(dt.UTC)


class Served(ThreadingHTTPServer):
    """A manager that answers 201, and the certificates of its clients."""

    daemon_threads = True

    def __init__(self, pair: Pair, clients: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.names: list[str] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        if clients:
            context.load_verify_locations(clients)
            context.verify_mode = ssl.CERT_REQUIRED
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, *_: object) -> None:
        """Say nothing of handshakes that the client broke off."""


class Answering(BaseHTTPRequestHandler):
    """One request."""

    def do_POST(self) -> None:
        """Take the body and say that it is stored."""
        self.rfile.read(int(self.headers["Content-Length"]))
        certificate = self.connection.getpeercert()  # type: ignore[attr-defined]
        names = [field[0][1] for field in (certificate or {}).get("subject", ())]
        self.server.names.append(names[0] if names else "nobody")  # type: ignore[attr-defined]
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        """Say that POST is expected, and whether a token came."""
        self.server.names.append(self.headers.get("Authorization", "no token"))  # type: ignore[attr-defined]
        self.send_response(405)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(server: Served) -> Iterator[Served]:
    """The server, until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def authority(folder: Path, name: str) -> Authority:
    """An authority with a folder of its own."""
    (folder / name).mkdir()
    return Authority(folder / name, NOW)


def pair_for(signer: Authority, host: str, age: dt.timedelta = dt.timedelta()) -> Pair:
    """A server's pair for a host name, made a while ago; it lives for a week."""
    signer.now = NOW - age
    return signer.pair("server", ExtendedKeyUsageOID.SERVER_AUTH, alternatives=[x509.DNSName(host)])


def pusher(
    folder: Path, port: int, ca_file: Path, mtls: Mtls | None = None, proxy: Proxy | None = None
) -> tuple[Pusher, Spool, list[PushOutcome]]:
    """A pusher with one batch, and the list of its outcomes."""
    (folder / "token").write_text("t" * 32)
    spool = Spool(folder / "spool")
    spool.put(Batch("c-1-tls", "connections", 1 << 62, pack({})))
    outcomes: list[PushOutcome] = []
    manager = ManagerEndpoint(url=f"https://localhost:{port}", ca_file=str(ca_file))
    settings = AgentConfiguration(manager=manager, mtls=mtls or Mtls(), proxy=proxy or Proxy())
    return Pusher(settings, spool, TokenFile(str(folder / "token")), outcomes.append), spool, outcomes


@pytest.mark.parametrize(
    ("host", "age_days", "trusted", "reason"),
    [
        ("localhost", 0, "other", "tls_untrusted"),
        ("localhost", 30, "own", "tls_expired"),
        ("localhost", -30, "own", "tls_not_yet_valid"),
        ("elsewhere.example", 0, "own", "tls_hostname"),
    ],
)
def test_distrusted_manager_gets_nothing_and_each_cause_is_distinguished(
    tmp_path: Path, host: str, age_days: int, trusted: str, reason: str
) -> None:
    """No request reaches the server; the batch stays, is probed each 30 s and longer, the reason names it (row 43)."""
    signers = {name: authority(tmp_path, name) for name in ("own", "other")}
    pair = pair_for(signers["own"], host, dt.timedelta(days=age_days))
    with serving(Served(pair)) as server:
        made, spool, outcomes = pusher(tmp_path, server.server_port, signers[trusted].file)
        waits = [made.step().wait_seconds for _ in range(2)]
        assert server.names == []
    made.close()
    assert [(one.code, one.reason) for one in outcomes] == [("error", reason)] * 2
    assert waits == [30, 60]
    assert spool.stats().batches == 1


def test_rotated_client_certificate_is_used_without_restart(tmp_path: Path) -> None:
    """The second push presents the pair that the files hold then; half a rotation keeps the last good one (row 44)."""
    own = authority(tmp_path, "own")
    server_pair = pair_for(own, "localhost")
    first, second = (own.pair(name, ExtendedKeyUsageOID.CLIENT_AUTH) for name in ("agent-old", "agent-new"))
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    certificate.write_bytes(first.certificate.read_bytes())
    key.write_bytes(first.key.read_bytes())
    with serving(Served(server_pair, own.file)) as server:
        mtls = Mtls(cert_path=str(certificate), key_path=str(key))
        made, spool, outcomes = pusher(tmp_path, server.server_port, own.file, mtls)
        made.step()
        for pair, swap in ((second, (certificate,)), (second, (key,))):
            for path in swap:
                fresh = tmp_path / "fresh"
                fresh.write_bytes((pair.certificate if path == certificate else pair.key).read_bytes())
                fresh.replace(path)
            spool.put(Batch("c-2-tls", "connections", 1 << 62, pack({})))
            made.step()
        assert server.names == ["agent-old", "agent-old", "agent-new"]
    made.close()
    assert [one.code for one in outcomes] == ["201"] * 3


def test_rotated_authority_is_trusted_without_restart(tmp_path: Path) -> None:
    """A manager whose certificate another authority signed is distrusted until the bundle holds that one."""
    old, new = authority(tmp_path, "old"), authority(tmp_path, "new")
    bundle = tmp_path / "ca.crt"
    bundle.write_bytes(old.file.read_bytes())
    with serving(Served(pair_for(new, "localhost"))) as server:
        made, _, outcomes = pusher(tmp_path, server.server_port, bundle)
        made.step()
        fresh = tmp_path / "fresh"
        fresh.write_bytes(old.file.read_bytes() + new.file.read_bytes())
        fresh.replace(bundle)
        made.step()
    made.close()
    assert [(one.code, one.reason) for one in outcomes] == [("error", "tls_untrusted"), ("201", None)]


def test_reaching_the_manager_sends_no_token_and_tells_what_is_wrong(tmp_path: Path) -> None:
    """Preflight asks with HEAD: any status will do; distrust and absence are reported by reason."""
    own, other = authority(tmp_path, "own"), authority(tmp_path, "other")
    with serving(Served(pair_for(own, "localhost"))) as server:
        url = f"https://localhost:{server.server_port}"
        trusting = AgentConfiguration(manager=ManagerEndpoint(url=url, ca_file=str(own.file)))
        distrusting = AgentConfiguration(manager=ManagerEndpoint(url=url, ca_file=str(other.file)))
        assert probe_manager(trusting) == (405, "")
        assert probe_manager(distrusting) == (None, "tls_untrusted")
        assert server.names == ["no token"]
    assert probe_manager(AgentConfiguration(manager=ManagerEndpoint(url="http://127.0.0.1:1"))) == (None, "connect")


def test_client_without_a_certificate_is_refused_with_a_reason(tmp_path: Path) -> None:
    """A manager that asks for a client certificate and gets none: its own reason, and the batch stays."""
    own = authority(tmp_path, "own")
    with serving(Served(pair_for(own, "localhost"), own.file)) as server:
        made, spool, outcomes = pusher(tmp_path, server.server_port, own.file)
        made.step()
        assert server.names == []
    made.close()
    assert outcomes[0].reason in ("tls_refused", "transport")
    assert spool.stats().batches == 1
