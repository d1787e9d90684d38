"""What `helm test` runs: exits 0 once the manager has stored batches of every kind of agent, else 1 with a sentence."""

import os
import re
import sys
import time
import urllib.request

WAIT_SECONDS = 120
STORED = re.compile(r'^podsonar_manager_ingest_requests_total\{code="201"\} (\S+)', re.MULTILINE)


def read(path: str) -> str:
    """The body of a GET to the manager."""
    with urllib.request.urlopen(os.environ["MANAGER"] + path, timeout=10) as answer:
        return answer.read().decode()


def stored() -> float:
    """How many pushes the manager has answered with 201 since it started."""
    match = STORED.search(read("/metrics"))
    return float(match[1]) if match else 0.0


def main() -> int:
    """Ask until something is stored, two minutes at most."""
    deadline, said = time.monotonic() + WAIT_SECONDS, "nothing was asked"
    while time.monotonic() < deadline:
        try:
            read("/readyz")
            if stored() > 0:
                print(f"the manager is ready and has stored {stored():.0f} batches")
                return 0
            said = "no agent has reported since the manager started; wait for a window"
            if os.environ["NODE_AGENT"] == "true":
                said += (
                    ", and look whether the node agents run: without pods, label the namespace "
                    f"{os.environ['NAMESPACE']} with pod-security.kubernetes.io/enforce=privileged"
                )
        except OSError as error:
            said = f"{os.environ['MANAGER']}: {error}"
        time.sleep(2)
    print(said, file=sys.stderr)
    return 1


sys.exit(main())
