"""What a program that asks the API server holds in memory of the library."""

import subprocess
import sys

LOADED = """
import sys
import cluster_api.client
from podsonar.lazy_module import LazyModule
print(*(name for name, module in sys.modules.items() if not isinstance(module, LazyModule)))
"""
USED_LATER = """
import cluster_api.client, kubernetes, kubernetes.watch
from kubernetes.config import load_kube_config
print(kubernetes.watch.Watch.__name__, load_kube_config.__name__)
"""


def printed(program: str) -> list[str]:
    """The words that a Python program prints."""
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()


def test_no_model_and_no_other_client_of_the_library_is_loaded() -> None:
    """The pool of connections is all that is used of it."""
    loaded = printed(LOADED)
    assert "kubernetes.client.rest" in loaded
    unused = ("pydantic", "requests", "kubernetes.config", "kubernetes.dynamic", "kubernetes.client.models.")
    assert [name for name in loaded if name.startswith(unused)] == []


def test_rest_of_the_library_works_where_it_is_used() -> None:
    """It is imported then."""
    assert printed(USED_LATER) == ["Watch", "load_kube_config"]
