"""What the servers of `real_programs` count themselves: connections and bytes, read at their Unix sockets."""

import csv
import re
from collections import Counter
from typing import NamedTuple

from lab.real_cluster.cluster import RealCluster
from tests.installed.pods.real_programs import DATABASES, run

# Sends a text to a Unix socket and prints the answer.
ASK = "perl -MIO::Socket::UNIX -e 'my $s = IO::Socket::UNIX->new($ARGV[0]) or die; print $s $ARGV[1]; print <$s>' --"
SESSIONS = "psql -h /tmp -U postgres -AtXF ' ' -c 'SELECT datname, sessions FROM pg_stat_database WHERE datid > 0'"
OPEN = "psql -h /tmp -U postgres -AtXF ' ' -c 'SELECT datname, count(*) FROM pg_stat_activity GROUP BY 1'"
INFO = "redis-cli -s /tmp/redis.sock info >/tmp/info; cat /tmp/info; stat -c reply:%s /tmp/info"
INFO_BYTES = len(b"*1\r\n$4\r\ninfo\r\n")
STUB_STATUS = f"{ASK} /tmp/nginx.sock 'GET / HTTP/1.0\r\n\r\n'"
REQUESTS = "awk '{ got += $1; sent += $2 } END { print got + 0, sent + 0 }' /tmp/requests.log"
# Neither LISTEN nor TIME_WAIT. The kernel is asked: a server would count the question.
SOCKETS = 'cat /proc/net/tcp /proc/net/tcp6 | awk \'$1 != "sl" && $4 != "0A" && $4 != "06"\' | wc -l'
SHOW_STAT = f"{ASK} /tmp/haproxy.sock 'show stat\n'"


Counters = dict[str, Counter[str]]


class Counted(NamedTuple):
    """Connections that a server took at a port, and its bytes; None where it does not count them."""

    connections: int
    received: int | None = None
    sent: int | None = None


def postgres(cluster: RealCluster) -> Counter[str]:
    """Sessions of each database by `pg_stat_database`, and logins by the server's log."""
    rows = (line.split() for line in run(cluster, "postgres", SESSIONS).splitlines())
    found = Counter({f"sessions {name}": int(count) for name, count in rows if name in DATABASES})
    log = cluster.kubectl("-n", "programs", "logs", "deployment/postgres", "--tail=-1")
    found.update(f"logins {name}" for name in re.findall(r"connection authorized: .*database=(\w+)", log))
    return found


def open_sessions(cluster: RealCluster) -> dict[str, int]:
    """Sessions that have not ended, by database; what has ended is in the sums."""
    rows = (line.split() for line in run(cluster, "postgres", OPEN).splitlines())
    return {words[0]: int(words[1]) for words in rows if words[0] in DATABASES}


def open_sockets(cluster: RealCluster) -> dict[str, int]:
    """TCP sockets in each server's pod that are a connection, whoever made it; pods without one are left out."""
    servers = (program.__name__ for program in (postgres, redis, nginx, haproxy))
    return {name: count for name in servers if (count := int(run(cluster, name, SOCKETS)))}


def redis(cluster: RealCluster) -> Counter[str]:
    """The counters of `INFO`, and the size of this answer as text."""
    lines = (line.strip().partition(":") for line in run(cluster, "redis", INFO).splitlines())
    wanted = ("total_connections_received", "total_net_input_bytes", "total_net_output_bytes", "reply")
    return Counter({name: int(value) for name, _colon, value in lines if name in wanted})


def nginx(cluster: RealCluster) -> Counter[str]:
    """Accepted connections by `stub_status`, bytes by the access log."""
    status = re.search(r"accepts handled requests\s+(\d+)", run(cluster, "nginx", STUB_STATUS))
    received, sent = run(cluster, "nginx", REQUESTS).split()
    if status is None:
        raise AssertionError("nginx answered without a status")
    return Counter({"accepts": int(status[1]), "received": int(received), "sent": int(sent)})


def haproxy(cluster: RealCluster) -> Counter[str]:
    """Every number of the statistics in CSV, by proxy, side and column."""
    rows = csv.DictReader(run(cluster, "haproxy", SHOW_STAT).lstrip("# ").splitlines())
    return Counter(
        {
            f"{row['pxname']} {row['svname']} {column}": int(value)
            for row in rows
            for column, value in row.items()
            if value and value.isdigit()
        }
    )


def read(cluster: RealCluster) -> Counters:
    """All counters, by server."""
    return {program.__name__: program(cluster) for program in (postgres, redis, nginx, haproxy)}


def counted_between(before: Counters, after: Counters) -> dict[tuple[str, str, int], Counted]:
    """What each server counted by (client, server, port), less what reading the counters made."""
    grown = {name: Counter(after[name]) for name in after}
    for name, counters in grown.items():
        counters.subtract(before[name])
    sessions, info, proxy, web = grown["postgres"], grown["redis"], grown["haproxy"], grown["nginx"]
    size = before["redis"]["reply"]
    answer_bytes = len(f"${size}\r\n\r\n") + size
    plain, pooled = "plain FRONTEND", "web FRONTEND"
    return {
        ("pgbench-pooled", "postgres", 5432): Counted(sessions["sessions pooled"]),
        ("pgbench-single", "postgres", 5432): Counted(sessions["sessions single"]),
        ("pgbench-before", "postgres", 5432): Counted(sessions["sessions before"]),
        ("redis-benchmark", "redis", 6379): Counted(
            info["total_connections_received"] - 1,
            info["total_net_input_bytes"] - INFO_BYTES,
            info["total_net_output_bytes"] - answer_bytes,
        ),
        # As it forwards bytes, HAProxy counts them; of HTTP it rewrites, those of its parser are the wire's.
        ("ab", "haproxy", 8081): Counted(proxy[f"{plain} stot"], proxy[f"{plain} bin"], proxy[f"{plain} bout"]),
        ("ab", "haproxy", 8082): Counted(
            proxy[f"{pooled} stot"], proxy[f"{pooled} h1_bytes_in"], proxy[f"{pooled} h1_bytes_out"]
        ),
        ("haproxy", "nginx", 8080): Counted(web["accepts"] - 1, web["received"], web["sent"]),
    }
