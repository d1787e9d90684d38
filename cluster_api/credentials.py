"""The headers and the client certificate of an access as they stand now; what they hold is in no error and no log.

A token's file is read for every request: the kubelet replaces it. A plugin runs again when its credentials expire or
the API server refuses them; it has 30 s, and ends with the program.
"""

import base64
import os
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from cluster_api.access import Access, ExecPlugin, header_value
from podsonar.errors import ApiServerError, InputError
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339

PLUGIN_SECONDS = 30.0
LONGEST_OUTPUT_BYTES = 1 << 20
LONGEST_TOKEN_BYTES = 64 << 10
EXPIRES_EARLY_NS = 10 * NS_PER_SECOND


@dataclass(frozen=True, slots=True, repr=False)
class PluginCredentials:
    """The credentials from a plugin; `expires_ns` is None if it stated no expiry."""

    token: str | None
    certificate: bytes | None
    key: bytes | None
    expires_ns: int | None


class Credentials:
    """The identity of one access; `end` ends a plugin that runs, and lets none begin."""

    def __init__(self, access: Access, plugin_seconds: float = PLUGIN_SECONDS) -> None:
        self.access, self.plugin_seconds = access, plugin_seconds
        self.lock = threading.Lock()
        self.given: PluginCredentials | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.ended = False

    def headers(self) -> list[tuple[str, str]]:
        """Authorization and impersonation; ApiServerError where a token cannot be had."""
        found = list(self.access.impersonation)
        token = self.token()
        if token is not None:
            found.append(("Authorization", f"Bearer {token}"))
        elif self.access.basic is not None:
            pair = ":".join(self.access.basic).encode()
            found.append(("Authorization", f"Basic {base64.b64encode(pair).decode()}"))
        return found

    def token(self) -> str | None:
        """The bearer token, from a file, a plugin or the kubeconfig itself; None if there is none."""
        if self.access.token_file is not None:
            return self.read_token(Path(self.access.token_file))
        if self.access.plugin is not None:
            return self.from_plugin(self.access.plugin).token
        return self.access.token

    def read_token(self, path: Path) -> str:
        """The token in a file, without the white space around it."""
        what = f"{self.access.source}: the token in {str(path)!r}"
        try:
            with path.open("rb") as file:
                content = file.read(LONGEST_TOKEN_BYTES)
        except OSError as error:
            raise ApiServerError(f"{what} cannot be read: {error.strerror}") from error
        return header_value(content.decode("latin-1").strip(), what)

    def renew(self) -> None:
        """Have the plugin run again: the API server refused what it gave."""
        with self.lock:
            self.given = None

    def end(self) -> None:
        """Run no plugin from now on, and end the one that runs."""
        self.ended = True
        process = self.process
        if process is not None:
            end_group(process)

    def from_plugin(self, plugin: ExecPlugin) -> PluginCredentials:
        """The plugin's credentials, cached or new; ApiServerError if it fails, takes too long or returns nothing."""
        with self.lock:
            given = self.given
            if given is None or (given.expires_ns is not None and time.time_ns() > given.expires_ns - EXPIRES_EARLY_NS):
                given = self.given = parse_credential(self.run(plugin), plugin, self.what(plugin))
            return given

    def what(self, plugin: ExecPlugin) -> str:
        """The plugin's name in errors."""
        return f"{self.access.source}: the exec plugin {Path(plugin.command).name!r}"

    def run(self, plugin: ExecPlugin) -> bytes:
        """The output of the plugin, which gets no terminal; what it prints is shown nowhere, it may hold secrets."""
        what = self.what(plugin)
        if self.ended:
            raise ApiServerError(f"{what} is not run: the program ends")
        environment = {**os.environ, **dict(plugin.env), "KUBERNETES_EXEC_INFO": exec_info(plugin, self.access)}
        try:
            process = subprocess.Popen(
                [plugin.command, *plugin.args],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # so that what it starts ends with it
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "its arguments hold a NUL"
            raise ApiServerError(f"{what} cannot be started: {reason}") from None
        self.process = process
        if self.ended:  # since it was looked at
            end_group(process)
        too_long = threading.Event()

        def end_late() -> None:
            too_long.set()
            end_group(process)

        limit = threading.Timer(self.plugin_seconds, end_late)
        limit.daemon = True
        limit.start()
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        try:
            output = process.stdout.read(LONGEST_OUTPUT_BYTES + 1)
            if len(output) > LONGEST_OUTPUT_BYTES:
                end_group(process)
                raise ApiServerError(f"{what} printed more than {LONGEST_OUTPUT_BYTES} bytes")
        finally:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # until it is waited for its number is its own
            limit.cancel()
            end_group(process)
            self.process = None
            code = process.wait()
            process.stdout.close()
        if self.ended:
            raise ApiServerError(f"{what} was ended: the program ends")
        if code and too_long.is_set():
            raise ApiServerError(f"{what} took longer than {self.plugin_seconds:g} s")
        if code:
            raise ApiServerError(f"{what} ended with {code}, expected an ExecCredential on stdout")
        return output


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a plugin and all that it started."""
    with suppress(OSError):
        os.killpg(process.pid, 9)


def exec_info(plugin: ExecPlugin, access: Access) -> str:
    """The plugin's input: its version, that no user is present, and the cluster if the kubeconfig requests that."""
    spec: dict[str, Any] = {"interactive": False}
    if plugin.cluster_info:
        cluster = {
            "server": access.server,
            "tls-server-name": access.tls_server_name,
            "insecure-skip-tls-verify": access.insecure or None,
            "certificate-authority-data": base64.b64encode(authority(access)).decode() or None,
            "proxy-url": access.proxy_url,
        }
        spec["cluster"] = {key: held for key, held in cluster.items() if held is not None}
    return orjson.dumps({"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}).decode()


def authority(access: Access) -> bytes:
    """The authority's certificates; nothing where the access has none."""
    if access.ca_data is not None:
        return access.ca_data
    with suppress(OSError):
        return Path(access.ca_file).read_bytes() if access.ca_file else b""
    return b""


def parse_credential(output: bytes, plugin: ExecPlugin, what: str) -> PluginCredentials:
    """The credentials in a plugin's output; ApiServerError that shows none of it."""
    try:
        answer = orjson.loads(output)
    except orjson.JSONDecodeError:
        raise ApiServerError(f"{what} printed no JSON, expected an ExecCredential") from None
    status = answer.get("status") if isinstance(answer, Mapping) else None
    if not isinstance(status, Mapping) or answer.get("kind") != "ExecCredential":
        raise ApiServerError(f"{what} printed no ExecCredential with a status")
    if answer.get("apiVersion") != plugin.api_version:
        raise ApiServerError(f"{what} answered in another version than {plugin.api_version}")
    fields = [status.get(key) for key in ("token", "clientCertificateData", "clientKeyData", "expirationTimestamp")]
    if not all(field is None or isinstance(field, str) for field in fields):
        raise ApiServerError(f"{what} printed an ExecCredential whose status holds something else than texts")
    token, certificate, key, expires = fields
    if not token and not (certificate and key):
        raise ApiServerError(f"{what} gave neither a token nor a certificate with its key")
    try:
        expires_ns = parse_rfc3339(expires) if expires else None
    except InputError as error:
        raise ApiServerError(f"{what} gave an expirationTimestamp that is no time") from error
    return PluginCredentials(
        header_value(token, f"the token of {what}") if token else None,
        certificate.encode() if certificate else None,
        key.encode() if key else None,
        expires_ns,
    )
