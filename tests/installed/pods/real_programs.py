"""Real servers with counters of their own, and their load generators, as pods of the test cluster.

Every server also listens at a Unix socket: its counters are read there, so that reading them makes no TCP connection.
"""

from typing import Any

from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.debian_image import PROGRAMS_IMAGE

NAMESPACE = "programs"
NOBODY = 65534
DATABASES = ("pooled", "single", "before")
HELD = 7  # connections that are open before the window and after it
Object = dict[str, Any]

POSTGRES = """
set -e
programs=$(echo /usr/lib/postgresql/*/bin)
"$programs/initdb" -D /tmp/data -U postgres -A trust --no-sync >/dev/null
echo 'host all all all trust' >> /tmp/data/pg_hba.conf
exec "$programs/postgres" -D /tmp/data -k /tmp -c 'listen_addresses=*' -c fsync=off -c jit=off -c log_connections=on
"""
REDIS = """
exec redis-server --bind 0.0.0.0 --protected-mode no --unixsocket /tmp/redis.sock --save '' --dir /tmp
"""
NGINX = """
cat > /tmp/nginx.conf <<'END'
daemon off;
pid /tmp/nginx.pid;
error_log stderr;
events { worker_connections 512; }
http {
  client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
  log_format bytes '$request_length $bytes_sent';
  access_log off;
  server { listen 8080; access_log /tmp/requests.log bytes; location / { return 200 '%s'; } }
  server { listen unix:/tmp/nginx.sock; location / { stub_status; } }
}
END
exec nginx -c /tmp/nginx.conf
""" % ("x" * 1009)
HAPROXY = """
cat > /tmp/haproxy.cfg <<'END'
global
  stats socket /tmp/haproxy.sock
  maxconn 512
defaults
  timeout connect 10s
  timeout client 60s
  timeout server 60s
listen plain
  mode tcp
  bind :8081
  server nginx nginx:8080
listen web
  mode http
  http-reuse always
  bind :8082
  server nginx nginx:8080 pool-purge-delay 1s
END
exec haproxy -db -f /tmp/haproxy.cfg
"""
HOLD = rf"""
until psql -h postgres -U postgres -c 'SELECT 1' before >/dev/null 2>&1; do sleep 0.1; done
printf 'SELECT 1;\n\\sleep 500 ms\n' >/tmp/script
exec pgbench -h postgres -U postgres -n -f /tmp/script -c {HELD} -T 3600 before
"""
WAIT = "exec sleep infinity"
# Of each pod: the node on which it runs, what it runs, the ports of its service.
PODS = {
    "postgres": ("b", POSTGRES, (5432,)),
    "redis": ("b", REDIS, (6379,)),
    "nginx": ("a", NGINX, (8080,)),
    "haproxy": ("b", HAPROXY, (8081, 8082)),
    "pgbench-pooled": ("a", WAIT, ()),
    "pgbench-single": ("b", WAIT, ()),
    "pgbench-before": ("a", HOLD, ()),
    "redis-benchmark": ("a", WAIT, ()),
    "ab": ("b", WAIT, ()),
}


def deployment(name: str, node: str, script: str) -> Object:
    """A deployment of one pod on that node, which runs the script without any privilege."""
    container = {
        "name": "program",
        "image": PROGRAMS_IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", script],
        "securityContext": {
            "runAsUser": NOBODY,
            "runAsGroup": NOBODY,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec = {
        "nodeName": node,
        "containers": [container],
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
    }
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


def service(name: str, ports: tuple[int, ...]) -> Object:
    """The Service in front of that pod."""
    listed = [{"name": f"tcp-{port}", "port": port} for port in ports]
    metadata = {"name": name, "namespace": NAMESPACE}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": {"app": name}, "ports": listed},
    }


def objects(cluster: RealCluster) -> list[Object]:
    """All objects of the namespace."""
    nodes = {node.letter: node.name for node in cluster.layout.nodes}
    made: list[Object] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}]
    made += [service(name, ports) for name, (_node, _script, ports) in PODS.items() if ports]
    return [*made, *(deployment(name, nodes[node], script) for name, (node, script, _ports) in PODS.items())]


def run(cluster: RealCluster, name: str, command: str) -> str:
    """Run the shell command in that pod and return its output."""
    return cluster.kubectl("-n", NAMESPACE, "exec", f"deployment/{name}", "--", "sh", "-c", command)
