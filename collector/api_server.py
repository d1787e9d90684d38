"""Reads the Kubernetes API server: configuration, authentication and transport by the `kubernetes` client, bodies raw.

The only module that imports `kubernetes`. Models are not used: a page is bytes that go through orjson once.
"""

from pathlib import Path
from urllib.parse import urlencode

import kubernetes.client
import kubernetes.config
import urllib3

from collector.stream import Stream
from discovery.errors import ApiServerError, WatchRefusedError

PAGE_TIMEOUT = urllib3.Timeout(connect=5, read=60)
REFUSAL_BYTES = 4096


class ApiServer:
    """One API server with one identity; every request is counted in `requests`."""

    def __init__(self, configuration: kubernetes.client.Configuration, kubeconfig: Path | None = None) -> None:
        self.configuration = configuration
        self.kubeconfig = kubeconfig
        self.client = kubernetes.client.ApiClient(configuration)
        self.requests = 0

    @classmethod
    def connect(cls, kubeconfig: Path | None) -> "ApiServer":
        """The API server of a kubeconfig, else the one this pod runs in; ApiServerError where neither can be read."""
        configuration = kubernetes.client.Configuration()
        try:
            if kubeconfig is None:
                kubernetes.config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            else:
                kubernetes.config.load_kube_config(str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
        except Exception as error:  # the client raises its own, YAML's and the operating system's errors alike
            source = f"kubeconfig {str(kubeconfig)!r}" if kubeconfig else "the service account of this pod"
            said = " ".join(str(error).split())[:200]
            raise ApiServerError(
                f"{source}: {said}; expected a readable kubeconfig or a pod's service account"
            ) from error
        return cls(configuration, kubeconfig)

    def headers(self) -> dict[str, str]:
        """Authentication as it stands now (a rotated token is read again by the client) and our name."""
        found = {"Accept": "application/json", "User-Agent": "podsonar-collector"}
        settings: dict[str, dict[str, str]] = dict(self.configuration.auth_settings())  # type: ignore[arg-type]
        for setting in settings.values():
            if setting["in"] == "header" and setting["value"]:
                found[setting["key"]] = setting["value"]
        return found

    def open(self, path: str, query: dict[str, str | int], timeout: urllib3.Timeout) -> urllib3.BaseHTTPResponse:
        """The answer to one GET, its body unread; ApiServerError where there is none."""
        self.requests += 1
        url = f"{self.configuration.host}{path}?{urlencode(query)}"
        try:
            return self.client.rest_client.pool_manager.request(
                "GET",
                url,
                headers=self.headers(),
                preload_content=False,
                timeout=timeout,
                retries=False,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise ApiServerError(f"API server {self.configuration.host}: {error}") from error

    def page(self, path: str, query: dict[str, str | int]) -> tuple[int, str | None, bytes]:
        """Status, Retry-After and body of one GET."""
        response = self.open(path, query, PAGE_TIMEOUT)
        try:
            return response.status, response.headers.get("Retry-After"), response.read()
        except urllib3.exceptions.HTTPError as error:
            raise ApiServerError(f"API server {self.configuration.host}: answer cut short: {error}") from error
        finally:
            response.release_conn()

    def watch(self, path: str, query: dict[str, str | int], seconds: int) -> Stream:
        """An open watch that the server ends after `seconds`; WatchRefusedError where it does not begin."""
        timeout = urllib3.Timeout(connect=5, read=seconds + 30)
        response = self.open(path, {**query, "watch": "true", "timeoutSeconds": seconds}, timeout)
        if response.status == 200:
            return Stream(response, path)
        said = response.read(REFUSAL_BYTES).decode(errors="replace")
        response.close()
        raise WatchRefusedError(
            f"watch {path} answered {response.status}, expected 200: {' '.join(said.split())[:300]}",
            response.status,
            response.headers.get("Retry-After"),
        )

    def renew(self) -> None:
        """Read configuration and token again: what the server refuses may have been replaced."""
        fresh = ApiServer.connect(self.kubeconfig)
        self.configuration, self.client = fresh.configuration, fresh.client
