#!/usr/bin/env bash
# Prints the Secrets that the manifests (or the chart's manager.existingSecrets) expect: an agent's token, a key for the
# map, and the hashes of both, which are all that the manager is given.
#   deploy/manifests/tokens.sh [AGENT [NAME_PREFIX [NAMESPACE]]] | kubectl apply -f -
set -euo pipefail
agent=${1:-default} prefix=${2:-podsonar} namespace=${3:-podsonar}
random() { od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }
secret() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'; }
digest() { printf %s "$1" | sha256sum | cut -d' ' -f1; }
agent_id=$(random 6) agent_secret=$(secret) read_id=$(random 6) read_secret=$(secret)
part() {
  cat <<YAML
---
apiVersion: v1
kind: Secret
metadata:
  name: $prefix-$1
  namespace: $namespace
  labels:
    app.kubernetes.io/part-of: podsonar
type: Opaque
stringData:
YAML
}
part ingest-token
echo "  token: podsonar_${agent_id}_${agent_secret}"
part read-key
echo "  read-key: podsonar_${read_id}_${read_secret}"
part token-hashes
cat <<YAML
  tokens.json: >-
    {"tokens": [
    {"id": "$agent_id", "scope": "ingest", "name": "$agent", "secretSha256": "$(digest "$agent_secret")"},
    {"id": "$read_id", "scope": "read", "name": "installer", "secretSha256": "$(digest "$read_secret")"}]}
YAML
