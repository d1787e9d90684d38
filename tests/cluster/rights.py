"""An API server takes changed roles in a moment after it has stored them."""

import time

from cluster_api.client import ApiClient

WAIT_SECONDS = 30


def wait_until_listed(api: ApiClient, path: str) -> ApiClient:
    """The API as an account sees it, once the account may list that path; fail after some seconds."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (status := api.page(path, {"limit": 1})[0]) != 200:
        assert time.monotonic() < deadline, f"{path}: {status}"
        time.sleep(0.02)
    return api
