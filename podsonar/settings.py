"""The settings of the programs; names follow the agent configuration of the API.

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
    volume: bool = True  # bytes, round-trip times and retransmissions cost a third more per connect
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
    run_as_user: Annotated[int, Meta(ge=0, le=(1 << 32) - 2)] = 0  # given up uid 0 for it; 0: stay who started it
    run_as_group: Annotated[int, Meta(ge=0, le=(1 << 32) - 2)] = 0  # 0: the same number as the user
    drain_seconds: Annotated[float, Meta(gt=0, le=60)] = 5.0  # the map pairs are swapped this often
    flow_capacity: Annotated[int, Meta(ge=64, le=1 << 20)] = 8192  # entries of each map of flows
    cgroup_capacity: Annotated[int, Meta(ge=64, le=1 << 16)] = 2048
    method: Literal["raw_tracepoint", "tracepoint"] = "raw_tracepoint"
    stop_seconds: Annotated[float, Meta(ge=0, le=600)] = (
        2.5  # on SIGTERM, to deliver what waits; the rest stays on disk
    )
    tracer_retry_seconds: Positive = 600  # how often a tracer is tried for that could not be loaded
    orders: bool = False  # hold a request at the collector, and observe windows that are ordered there
    require_tracer: bool = False  # end with code 3 instead of going on without a tracer


class ManagerConnection(Group, frozen=True):
    """How a program reaches the manager."""

    manager: ManagerEndpoint = ManagerEndpoint()
    mtls: Mtls = Mtls()
    proxy: Proxy = Proxy()
    skip_secure_verify: bool = False


class AgentConfiguration(ManagerConnection, frozen=True):
    """Settings shared by collector and node agent: the agent configuration of the API, and Podsonar's own."""

    data: Data = Data()
    kubernetes: Kubernetes = Kubernetes()
    collector_image: str = ""
    log_watcher_image: str = ""
    image_pull_secrets: list[str] | None = None
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


class RunnerDirectory(Group, frozen=True):
    """The collector at which runners order windows, and the Secret with the agents' token in the runner's namespace."""

    url: str = ""  # as pods reach it: http://podsonar-collector.podsonar:8766; empty: no run with windows is brought
    secret: str = ""  # the Secret's name
    key: str = "token"  # its member


class DelegateRules(Group, frozen=True):
    """What the delegate may be asked to do; a list that asks for more is refused as a whole."""

    name: str = ""  # by which the manager's lists show it
    namespaces: list[str] = []  # where objects may be applied and deleted
    image_prefixes: list[str] = []  # each image begins with one of these, such as registry.example/podsonar-
    # each object's name begins with one of these: nobody else's is touched
    name_prefixes: list[str] = msgspec.field(default_factory=lambda: ["podsonar"])
    service_accounts: list[str] = []  # accounts that pods may use although they are not in the list of manifests
    # preinstalled: the chart made roles and their bindings, which are compared; managed: they are applied, too
    rbac: Literal["preinstalled", "managed"] = "preinstalled"
    runners: bool = False  # runners of experiments, too: their roles may delete pods; wants rbac managed
    directory: RunnerDirectory = RunnerDirectory()  # what a runner of an experiment with windows is given
    poll_seconds: Annotated[int, Meta(ge=1, le=28)] = 25  # how long the manager may hold a request; exchanges end at 30


class DelegateSettings(ManagerConnection, frozen=True):
    """Settings of `podsonar delegate`."""

    delegate: DelegateRules = DelegateRules()
    metrics: MetricsSettings = MetricsSettings()
    log: Log = Log()


class LinuxHost(Group, frozen=True):
    """The Linux agent's own settings."""

    access_key_file: str = "/etc/podsonar/access-key"  # the first key; later ones are in the state folder
    state_folder: str = "/var/lib/podsonar-linux-agent"  # access key, journal, results that wait
    hostname: str = ""  # empty: the machine's
    poll_seconds: Annotated[float, Meta(ge=0.1, le=300)] = 5.0  # between two questions for a task
    probe_folder: str = "/"  # where commands of probes run
    cgroup: str = ""  # whose traffic network faults touch; empty: the whole host's (the root of cgroup v2)


class LinuxAgentSettings(ManagerConnection, frozen=True):
    """Settings of `podsonar linux-agent`."""

    linux: LinuxHost = LinuxHost()
    metrics: MetricsSettings = MetricsSettings()
    log: Log = Log()


class ServerTls(Group, frozen=True):
    """TLS of the manager's API; plain HTTP without a certificate."""

    certificate_file: str = ""  # PEM, with the chain; read again when it changes
    key_file: str = ""  # PEM, not encrypted


class HistorySettings(Group, frozen=True):
    """Maps of windows, which are kept for longer than the batches they are computed from."""

    folder: str = ""  # empty: beside the file of SQLite, `podsonar.history`; with PostgreSQL in the database
    settle_seconds: Annotated[int, Meta(ge=0, le=3600)] = 30  # without a batch: a window's map is computed
    retention_days: Annotated[int, Meta(ge=7, le=36500)] = 400  # a year to compare with, and a month of grace
    # Pods and handshake times of edges take as much room as the edges; they are kept as long as batches.
    details_days: Annotated[int, Meta(ge=1, le=36500)] = 30


class QuotaSettings(Group, frozen=True):
    """What one agent (a cluster) may push to one manager process; 0: no limit.

    The defaults are twice what a cluster of 5,000 nodes pushes within a minute of each hourly window.
    """

    batches_per_minute: Annotated[int, Meta(ge=0)] = 12_000
    bytes_per_minute: Annotated[int, Meta(ge=0)] = 2 << 30
    bytes_per_day: Annotated[int, Meta(ge=0)] = 64 << 30


class InstalledAgents(Group, frozen=True):
    """The agents that delegates install: where they push to, and where their images are."""

    url: str = ""  # empty: the URL by which the delegate of their cluster reaches the manager
    allow_insecure_http: bool = False  # of `url`: plain http to a manager outside the cluster
    ca_secret: str = ""  # Secret with ca.crt in the agents' namespace, where the certificate is of an own authority
    registry: str = "localhost"
    tag: str = ""  # empty: this release


class ManagerSettings(Group, frozen=True):
    """Settings of `podsonar manager`."""

    listen: str = "127.0.0.1:8080"
    database: str = "sqlite:///podsonar.db"
    database_file: str = ""  # file that holds the database's URL, for a URL with a password in a mounted Secret
    # Days since a batch came; a batch's id must be known for longer than a spool may keep it.
    retention_days: Annotated[int, Meta(ge=7, le=3650)] = 30
    history: HistorySettings = HistorySettings()
    tokens_file: str = ""  # JSON of token hashes that are taken in at start: what an installation brings along
    tls: ServerTls = ServerTls()
    quota: QuotaSettings = QuotaSettings()
    agents: InstalledAgents = InstalledAgents()
    metrics: MetricsSettings = MetricsSettings()  # empty: /metrics is beside the API
    log: Log = Log()
