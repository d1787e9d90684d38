"""A runner's settings: exactly the names of the ConfigMap and the Secret in its manifests, as environment variables."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from podsonar.errors import SettingsError
from podsonar.manager_paths import KSERVER

NEEDED = (
    "KUBERNETES_INFRA_SERVICE_ENDPOINT",
    "INFRA_ID",
    "ACCOUNT_ID",
    "PROJECT_ID",
    "ENVIRONMENT_ID",
    "ACCESS_KEY",
    "CHAOS_NAMESPACE",
    "CORRELATION_ID",
)
# Annotations of the ConfigMap: the run's ids, and how it is stopped.
ID_ANNOTATIONS = ("podsonar.io/experiment-id", "podsonar.io/run-id", "podsonar.io/notify-id")
ABORT, ABORTED_RUNS, ABORT_REASON = "podsonar.io/action", "podsonar.io/abort-runs", "podsonar.io/abort-reason"
UNCONFINED = "PODSONAR_UNCONFINED_COMMANDS"
MOST_AUTHORITY_BYTES = 64 << 10  # a variable holds 128 KiB


@dataclass(frozen=True)
class RunnerEnvironment:
    """The settings of a run; `name` is that of the runner's ConfigMap and Deployment."""

    endpoint: str
    infra_id: str
    account: str
    organization: str
    project: str
    environment: str
    namespace: str
    name: str
    log_endpoint: str
    skip_verify: bool
    report_url: str
    access_key: str = field(repr=False)
    log_token: str = field(repr=False)
    directory_url: str = ""
    directory_token: str = field(default="", repr=False)
    unconfined: bool = False  # commands of probes run where the kernel cannot hide credentials from them
    authority: str = ""  # PEM, of the manager's certificate; empty: those of the image

    @property
    def report_port(self) -> int:
        """Where the runner listens for its injectors; 0 without a URL."""
        return (urlsplit(self.report_url).port or 80) if self.report_url else 0

    @property
    def verify(self) -> ssl.SSLContext | bool:
        """How the manager is verified, as httpx takes it."""
        if self.authority and not self.skip_verify:
            return ssl.create_default_context(cadata=self.authority)
        return not self.skip_verify

    @property
    def query(self) -> dict[str, str]:
        """The identifiers that every request carries."""
        return {
            "environmentIdentifier": self.environment,
            "accountIdentifier": self.account,
            "organizationIdentifier": self.organization,
            "projectIdentifier": self.project,
        }


def read_environment(variables: Mapping[str, str]) -> RunnerEnvironment:
    """The settings; SettingsError names a missing or unusable variable, never its value if that may be secret."""
    for name in NEEDED:
        if not variables.get(name):
            raise SettingsError(f"environment variable {name} is empty: expected the value of the runner's manifests")
    endpoint = variables["KUBERNETES_INFRA_SERVICE_ENDPOINT"].rstrip("/")
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise SettingsError(f"KUBERNETES_INFRA_SERVICE_ENDPOINT is no URL: expected https://host{KSERVER}")
    enabled = variables.get("LOG_SERVICE_ENABLED", "false") == "true"
    skip = {variables.get(name, "false") for name in ("SKIP_SECURE_VERIFY", "INSECURE_SKIP_VERIFY")}
    authority = variables.get("PODSONAR_MANAGER_CA", "")
    if authority:
        check_authority(authority)
    return RunnerEnvironment(
        endpoint=endpoint,
        infra_id=variables["INFRA_ID"],
        account=variables["ACCOUNT_ID"],
        organization=variables.get("ORG_ID", ""),
        project=variables["PROJECT_ID"],
        environment=variables["ENVIRONMENT_ID"],
        namespace=variables["CHAOS_NAMESPACE"],
        name=variables["CORRELATION_ID"],
        log_endpoint=variables.get("LOG_SERVICE_ENDPOINT", "").rstrip("/") if enabled else "",
        skip_verify="true" in skip,
        report_url=report_url(variables.get("DDCR_ENDPOINT", "")),
        directory_url=variables.get("PODSONAR_DIRECTORY_URL", ""),
        access_key=variables["ACCESS_KEY"],
        log_token=variables.get("LOG_SERVICE_TOKEN", ""),
        directory_token=variables.get("PODSONAR_DIRECTORY_TOKEN", "").strip(),  # a Secret that was made from a file
        unconfined=variables.get(UNCONFINED, "false") == "true",
        authority=authority,
    )


def check_authority(text: str) -> None:
    """Raise SettingsError unless the text holds certificates."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise SettingsError("PODSONAR_MANAGER_CA holds no certificate: expected PEM") from error


def report_url(text: str) -> str:
    """The URL at which injectors reach the runner; SettingsError for what is none."""
    try:
        parts = urlsplit(text)
        fine = not text or (parts.scheme == "http" and bool(parts.hostname) and (parts.port or 80) > 0)
    except ValueError:
        fine = False
    if not fine:
        raise SettingsError(f"DDCR_ENDPOINT is {text[:80]!r}: expected http://name.namespace:port")
    return text.rstrip("/")
