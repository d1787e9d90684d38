#!/bin/sh
# Builds the podsonar wheel from /src, with the revision as its version's local part, and installs into each /opt/PART the
# packages that the part runs.   install.sh REVISION
set -eu
[ "$1" = unknown ] || sed -i "s/^version = \"\(.*\)\"/version = \"\1+g$(printf %.12s "$1")\"/" /src/pyproject.toml
/opt/build/bin/pip wheel -q --no-cache-dir --no-deps --no-build-isolation -w /wheels /src
install_without() {
  part=$1
  shift
  /opt/build/bin/pip --python "/opt/$part/bin/python3" install -q --no-cache-dir --no-compile --no-deps \
    /wheels/podsonar-*.whl
  site=$(echo "/opt/$part"/lib/python3*/site-packages)
  sed -i "1s|.*|#!/opt/podsonar/bin/python3|" "/opt/$part/bin/podsonar"
  cp /src/deploy/images/slim.sh "/opt/$part/"
  for package in "$@"; do rm -rf "${site:?}/$package"; done
  # Our own packages, as far as this part has them; the libraries are compiled already.
  packages=$(cd /src && for package in */; do [ ! -d "$site/$package" ] || echo "$site/$package"; done)
  # shellcheck disable=SC2086
  python3 -m compileall -q --invalidation-mode unchecked-hash -s "/opt/$part" -p /opt/podsonar $packages
}
install_without collector chaos/control chaos/linux_agent manager node_agent bpf
install_without manager cluster_api collector delegate node_agent bpf
install_without node-agent chaos cluster_api collector delegate manager
