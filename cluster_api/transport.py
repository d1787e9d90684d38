"""Connections to an API server: TLS, client certificate and proxy, by the `kubernetes` client's own pool.

The only module that imports `kubernetes`. Its reading of kubeconfigs is not used: it ignores fields and failures in
silence (docs/decisions/0087-who-asks-the-api-server.md).
"""

import re
import shutil
import ssl
import tempfile
import weakref
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import urllib3
from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import RESTClientObject

from cluster_api.access import Access
from cluster_api.credentials import Credentials
from podsonar.errors import ApiServerError


class Transport:
    """The pool of connections, and files of what came as data, which go with it: TLS reads certificates by name."""

    def __init__(self, access: Access, credentials: Credentials) -> None:
        """ApiServerError where a certificate, a key or an authority cannot be read."""
        self.access = access
        self.folder: Path | None = None
        configuration = self.configured(credentials)
        try:
            check_certificates(configuration)
            self.pool: urllib3.PoolManager = RESTClientObject(configuration).pool_manager
        except (OSError, ValueError) as error:
            raise ApiServerError(f"{access.source}: {described(error)}; expected certificates in PEM") from None

    def close(self) -> None:
        """Close connections that are not in use."""
        self.pool.clear()

    def file(self, name: str, data: bytes | None, path: str | None) -> str | None:
        """The path, or a file with the data, which only its owner may read."""
        if data is None:
            if path is not None and not Path(path).is_file():
                raise ApiServerError(f"{self.access.source}: the {name} {path!r} is no file")
            return path
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="podsonar-"))
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)  # at the latest as the program ends
        file = self.folder / name
        file.touch(mode=0o600)
        file.write_bytes(data)
        return str(file)

    def configured(self, credentials: Credentials) -> Configuration:
        """The library's configuration; never a proxy of the environment: it is for pushes and would see the token."""
        access = self.access
        certificate, key = access.certificate_data, access.key_data
        if access.plugin is not None:
            given = credentials.from_plugin(access.plugin)
            certificate, key = given.certificate or certificate, given.key or key
        configuration = Configuration(host=access.server, proxy="", no_proxy="*")
        configuration.ssl_ca_cert = self.file("authority", access.ca_data, access.ca_file)
        configuration.cert_file = self.file("client certificate", certificate, access.certificate_file)
        configuration.key_file = self.file("client key", key, access.key_file)
        configuration.verify_ssl = not access.insecure
        configuration.tls_server_name = access.tls_server_name
        if access.proxy_url:
            parts = urlsplit(access.proxy_url)
            configuration.no_proxy = ""
            configuration.proxy = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
            if parts.username is not None:
                pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
                configuration.proxy_headers = urllib3.make_headers(proxy_basic_auth=pair)
        return configuration


def check_certificates(configuration: Configuration) -> None:
    """Load authority, certificate and key once, so that a bad one is an error now and not of every request."""
    if not configuration.host.startswith("https:"):
        return
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)


def described(error: BaseException) -> str:
    """The error in words that quote no foreign text: no header, URL or body."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"certificate not trusted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {(cause.reason or 'unknown').lower().replace('_', ' ')}"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        reason = getattr(cause, "reason", None)
        cause = reason if isinstance(reason, BaseException) else cause.__cause__ or cause.__context__
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "timed out"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
