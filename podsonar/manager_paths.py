"""Where the manager answers programs and commands: paths that it serves, and that those ask or write into manifests."""

DELEGATE_API = "/v1/delegates"
HOSTS = "/v1/chaos/linux"  # people, about hosts and their tasks
KSERVER = "/chaos/kserver/api"  # runners of experiments
LOG_SERVICE = "/log-service"
LSERVER = "/gratis/chaos/lserver/api"  # agents of Linux hosts
RUNS = "/v1/chaos/runs"  # people, about runs of experiments
