"""The Kubernetes API server as every program reaches it: identity, connections, requests, watches.

Reading order: `access` → `kubeconfig` → `credentials` → `transport` → `large_answer` → `client` → `watch_stream`;
`resources` → `objects`.
"""

from podsonar.lazy_module import delay_imports

# The package `kubernetes` imports these, with `pydantic` and `requests` below them: 16 MiB of each process that asks.
UNUSED = ("config", "dynamic", "watch", "stream", "utils", "leaderelection", "informer")
delay_imports(f"kubernetes.{name}" for name in UNUSED)
