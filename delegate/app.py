"""The delegate's loop: hold a request at the manager, work on what comes, report it, ask again."""

import signal
import threading
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import structlog
from prometheus_client import CollectorRegistry

from cluster_api.client import ApiClient
from cluster_api.objects import Objects
from delegate.log_lines import LogLines
from delegate.metrics import DelegateMetrics
from delegate.poll import Cluster, Manager
from delegate.report import Reporter
from delegate.run_task import cluster_uid, run_task
from delegate.task import Task
from podsonar.errors import ApiServerError, ManagerUnavailableError, SettingsError, TokenError
from podsonar.logs_and_probes import serve_metrics, set_build_info, start_logs
from podsonar.settings import DelegateRules, DelegateSettings
from podsonar.supervised import Backoff, run_supervised

log = structlog.get_logger()


class Delegate:
    """One delegate; `turn` is one poll and the work that came of it."""

    def __init__(
        self, settings: DelegateSettings, api: ApiClient, metrics: DelegateMetrics, stop: threading.Event
    ) -> None:
        self.settings, self.api, self.metrics, self.stop = settings, api, metrics, stop
        self.objects = Objects(api)
        self.manager = Manager(settings)
        self.about: Cluster | None = None
        self.pace = Backoff()
        self.unready: str | None = "no poll has been answered"

    def turn(self) -> None:
        """Poll once; an answer resets the pace, and a failure waits by it."""
        try:
            if self.about is None:
                self.about = Cluster(cluster_uid(self.objects), server_version(self.api))
                log.info("delegate_started", server=self.api.server, version=self.about.version)
            polled = self.manager.poll(self.about)
        except (ApiServerError, ManagerUnavailableError, TokenError) as error:
            self.metrics.polls.labels("error").inc()
            self.unready = str(error)
            log.warning("poll_failed", error=str(error))
            self.stop.wait(self.pace.next_seconds())
            return
        self.pace.reset()
        self.unready = None
        self.metrics.last_poll.set_to_current_time()
        self.metrics.polls.labels("empty" if polled is None else "task").inc()
        for task in polled.tasks if polled else ():
            if not self.stop.is_set():
                self.work(polled.delegate_id if polled else "", task)

    def work(self, delegate_id: str, task: Task) -> None:
        """Work on one task; what goes wrong with the API server is its end, not the delegate's."""
        lines = LogLines(self.manager, task, lambda result, number: self.metrics.log_lines.labels(result).inc(number))
        lines.write(f"attempt {task.attempt}: {task.kind}, {len(task.manifests or task.objects)} objects")
        reporter = Reporter(self.manager, delegate_id, task, self.stop, lines)
        log.info("task_began", task=task.id, kind=task.kind, attempt=task.attempt, objects=len(task.manifests))
        try:
            status = run_task(self.objects, self.settings.delegate, reporter)
        except ApiServerError as error:
            status = "FAILED" if reporter.confirm("FAILED", str(error)) else None
        lines.end()
        for one in reporter.objects.values():
            self.metrics.objects.labels(one.result).inc()
        self.metrics.requests.set(self.api.requests)
        self.metrics.tasks.labels(status or "lost").inc()
        log.info("task_ended", task=task.id, attempt=task.attempt, status=status or "lost")


def server_version(api: ApiClient) -> str:
    """The API server's version."""
    status, body = api.exchange("/version", {})
    try:
        return str(orjson.loads(body).get("gitVersion", "")) if status == 200 else ""
    except (orjson.JSONDecodeError, AttributeError):
        return ""


def check_rules(settings: DelegateSettings) -> None:
    """Raise SettingsError for rules under which nothing could be applied."""
    rules = settings.delegate
    if not rules.name:
        raise SettingsError("setting delegate.name is empty, expected a name by which the manager shows this delegate")
    if not rules.namespaces:
        raise SettingsError("setting delegate.namespaces is empty, expected the namespaces that it may change")
    if not rules.image_prefixes or "" in rules.image_prefixes:
        raise SettingsError(
            "setting delegate.imagePrefixes is empty, expected what images begin with (registry.example/podsonar-)"
        )
    if rules.runners and rules.rbac != "managed":
        raise SettingsError("setting delegate.runners is true, expected delegate.rbac: managed with it")
    check_directory(rules)
    if not rules.name_prefixes or "" in rules.name_prefixes:
        raise SettingsError("setting delegate.namePrefixes is empty, expected what names of objects begin with")


def check_directory(rules: DelegateRules) -> None:
    """Raise SettingsError for a collector that no runner could order windows at."""
    url, secret, key = rules.directory.url, rules.directory.secret, rules.directory.key
    if not url and not secret:
        return
    if not url or not secret or not key:
        raise SettingsError("setting delegate.directory.url, secret or key is empty, expected all of them or none")
    if not rules.runners:
        raise SettingsError("setting delegate.directory.url is set, expected delegate.runners: true with it")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or "$" in url:
        raise SettingsError("setting delegate.directory.url is no URL, expected http://name.namespace:8766")


def run(settings: DelegateSettings, kubeconfig: Path | None, stop: threading.Event) -> None:
    """Run the delegate until `stop`."""
    start_logs(settings.log.level, settings.log.format)
    check_rules(settings)
    registry = CollectorRegistry()
    set_build_info(registry, "delegate")
    metrics = DelegateMetrics(registry)
    delegate = Delegate(settings, ApiClient.connect(kubeconfig, "delegate"), metrics, stop)
    delegate.manager.token.check_at_start()
    serve_metrics(settings.metrics.listen, registry, lambda: delegate.unready)
    threading.Thread(target=end_at_stop, args=(delegate.api, stop), name="end", daemon=True).start()
    loop = threading.Thread(target=run_supervised, args=("delegate", delegate.turn, stop), name="delegate", daemon=True)
    loop.start()
    stop.wait()
    loop.join(2.0)


def end_at_stop(api: ApiClient, stop: threading.Event) -> None:
    """Wait for the end of the program, then cut short what is being asked."""
    stop.wait()
    api.end()


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
