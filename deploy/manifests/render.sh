#!/usr/bin/env bash
# Prints the manifests for `kubectl apply`, rendered from the chart.   deploy/manifests/render.sh [HELM]
set -euo pipefail
cd "$(dirname "$0")/../.."
helm=${1:-helm}
cat deploy/manifests/namespace.yaml
"$helm" template podsonar deploy/charts/podsonar --namespace podsonar --skip-tests --kube-version 1.34.0 \
  -f deploy/manifests/values.yaml | sed 's|app.kubernetes.io/managed-by: Helm|app.kubernetes.io/managed-by: kubectl|'
