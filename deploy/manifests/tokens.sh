#!/usr/bin/env bash
# Prints the Secret that the manifests (or the chart's manager.existingTokenSecret) expect: an agent's token, a key for
# the map, and the hashes of both, which are all that the manager is given.
#   deploy/manifests/tokens.sh [AGENT [SECRET_NAME [NAMESPACE]]] | kubectl apply -f -
set -euo pipefail
agent=${1:-default} name=${2:-podsonar-tokens} namespace=${3:-podsonar}
random() { od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }
secret() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'; }
digest() { printf %s "$1" | sha256sum | cut -d' ' -f1; }
agent_id=$(random 6) agent_secret=$(secret) read_id=$(random 6) read_secret=$(secret)
cat <<YAML
apiVersion: v1
kind: Secret
metadata:
  name: $name
  namespace: $namespace
  labels:
    app.kubernetes.io/part-of: podsonar
type: Opaque
stringData:
  token: podsonar_${agent_id}_${agent_secret}
  read-key: podsonar_${read_id}_${read_secret}
  tokens.json: >-
    {"tokens": [
    {"id": "$agent_id", "scope": "ingest", "name": "$agent", "secretSha256": "$(digest "$agent_secret")"},
    {"id": "$read_id", "scope": "read", "name": "installer", "secretSha256": "$(digest "$read_secret")"}]}
YAML
