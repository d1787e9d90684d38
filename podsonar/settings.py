"""The settings of the three programs; names follow the agent configuration of the API.

A YAML file, environment variables and flags fill them (flag > environment > file > default); `docs/settings.md` lists
every one. An unknown key or a bad value is a SettingsError that names key, value and what was expected.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=1, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
Minutes = Positive | Annotated[float, Meta(ge=0.25)]  # parts of a minute are for trials


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A group of settings: camelCase in the file, unknown keys refused."""


class Cron(Group, frozen=True):
    """When windows start."""

    expression: str = "15 * * * *"  # five fields (or six, seconds first), UTC; not at the full hour, when most jobs run


class Data(Group, frozen=True):
    """What is collected and when."""

    enable_node_agent: bool = True
    node_agent_selector: str = ""  # label selector of nodes that run the agent; the chart uses it
    namespace_selector: str = ""  # label selector of namespaces; empty: all
    observed_namespaces: list[str] = []  # empty: all
    blacklisted_namespaces: list[str] = []
    cluster_ranges: list[str] = []  # what the cluster uses and no object shows: never called external
    external_ranges: list[str] = []  # what is outside though its addresses are private
    enable_orphaned_pod: bool = False  # pods without a controller are noise for most maps
    enable_batch_resources: bool = False  # jobs come and go with every window
    collection_window_in_min: Minutes = 2  # minutes; long enough for keep-alive pools to reconnect
    cron: Cron = Cron()


class Kubernetes(Group, frozen=True):
    """How the programs are installed; the chart reads most of these."""

    namespace: str = ""
    namespaced: bool = False  # list only `namespace`, with Roles instead of a ClusterRole
    use_apiserver_cache: bool = False  # inventories from the API server's memory: cheaper, perhaps a little older
    service_account: str = ""
    run_as_user: int | None = None
    run_as_group: int | None = None
    image_pull_policy: str = ""
    node_selector: dict[str, str] | None = None
    tolerations: list[dict[str, str | int]] | None = None
    resources: dict[str, dict[str, str]] | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    disable_namespace_creation: bool = False


class Mtls(Group, frozen=True):
    """The client certificate that pushes present."""

    cert_path: str = ""
    key_path: str = ""
    secret_name: str = ""
    url: str = ""


class Proxy(Group, frozen=True):
    """The proxy of pushes; the API server is never asked through it."""

    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""
    url: str = ""


class ManagerEndpoint(Group, frozen=True):
    """Where batches go."""

    url: str = "http://127.0.0.1:8080"
    token_file: str = "/etc/podsonar/token/token"  # noqa: S105 - a path
    ca_file: str = ""  # empty: the system's authorities
    allow_insecure_http: bool = False  # plain http beyond loopback and *.svc


class SpoolSettings(Group, frozen=True):
    """Where batches wait until they are stored (docs/faults.md)."""

    folder: str = "/var/lib/podsonar"
    max_bytes: Positive = 256 << 20
    max_files: Positive = 10_000
    max_age_seconds: Positive = 24 * 3600


class DirectorySettings(Group, frozen=True):
    """The collector's answers about addresses."""

    url: str = "http://podsonar-collector:8766"  # where agents ask
    listen: str = "0.0.0.0:8766"  # where the collector answers
    token_file: str = "/etc/podsonar/token/token"  # noqa: S105
    ca_file: str = ""


class MetricsSettings(Group, frozen=True):
    """Where /metrics, /livez and /readyz are served; empty: not at all."""

    listen: str = ""


class RedactionSettings(Group, frozen=True):
    """Which text of objects leaves the cluster (docs/redaction.md)."""

    mode: Literal["structure", "patterns"] = "structure"  # patterns: free text leaves without what looks like a secret
    keep: list[str] = []  # annotation keys and paths of free text that leave, pattern rules applied


class Log(Group, frozen=True):
    """Level and format of the log on stderr."""

    level: str = "info"
    format: str = "text"  # text | json


class NodeSettings(Group, frozen=True):
    """The node agent's own settings."""

    name: str = ""  # from the downward API, spec.nodeName
    pod_uid: str = ""  # from the downward API, metadata.uid: in its own cgroup namespace the agent cannot see it
    proc_folder: str = "/proc"
    drain_seconds: Annotated[float, Meta(gt=0, le=60)] = 5.0  # the map pairs are swapped this often
    flow_capacity: Annotated[int, Meta(ge=64, le=1 << 20)] = 16384  # entries of each map of flows
    cgroup_capacity: Annotated[int, Meta(ge=64, le=1 << 16)] = 2048
    method: Literal["raw_tracepoint", "tracepoint"] = "raw_tracepoint"
    stop_seconds: Annotated[float, Meta(ge=0, le=600)] = (
        2.5  # on SIGTERM, to deliver what waits; the rest stays on disk
    )
    tracer_retry_seconds: Positive = 600  # how often a tracer is tried for that could not be loaded
    require_tracer: bool = False  # end with code 3 instead of going on without a tracer


class AgentConfiguration(Group, frozen=True):
    """Settings shared by collector and node agent: the agent configuration of the API, and Podsonar's own."""

    data: Data = Data()
    kubernetes: Kubernetes = Kubernetes()
    mtls: Mtls = Mtls()
    proxy: Proxy = Proxy()
    skip_secure_verify: bool = False
    collector_image: str = ""
    log_watcher_image: str = ""
    image_pull_secrets: list[str] | None = None
    manager: ManagerEndpoint = ManagerEndpoint()
    spool: SpoolSettings = SpoolSettings()
    directory: DirectorySettings = DirectorySettings()
    metrics: MetricsSettings = MetricsSettings()
    redaction: RedactionSettings = RedactionSettings()
    log: Log = Log()


class CollectorSettings(AgentConfiguration, frozen=True):
    """Settings of `podsonar collector`."""


class AgentSettings(AgentConfiguration, frozen=True):
    """Settings of `podsonar agent`."""

    node: NodeSettings = NodeSettings()


class ServerTls(Group, frozen=True):
    """TLS of the manager's API; plain HTTP without a certificate."""

    certificate_file: str = ""  # PEM, with the chain; read again when it changes
    key_file: str = ""  # PEM, not encrypted


class ManagerSettings(Group, frozen=True):
    """Settings of `podsonar manager`."""

    listen: str = "127.0.0.1:8080"
    database: str = "sqlite:///podsonar.db"
    database_file: str = ""  # file that holds the database's URL, for a URL with a password in a mounted Secret
    # Days since a batch came; a batch's id must be known for longer than a spool may keep it.
    retention_days: Annotated[int, Meta(ge=7, le=3650)] = 30
    tokens_file: str = ""  # JSON of token hashes that are taken in at start: what an installation brings along
    tls: ServerTls = ServerTls()
    metrics: MetricsSettings = MetricsSettings()  # empty: /metrics is beside the API
    log: Log = Log()
