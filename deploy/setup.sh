#!/usr/bin/env bash
# Installs what Podsonar needs on this machine and reports it: Debian packages by apt as root, and a virtual environment in
# .venv from the lock files. Without root or apt it names the packages and continues without them.
#   deploy/setup.sh [run|cluster|test|bench]     run: demo and agents; cluster: also what real nodes need; test: all of it;
#                                                bench: run, and the programs that Podsonar is compared with
set -euo pipefail
cd "$(dirname "$0")/.."
for_what=${1:-run}
arch=$(dpkg --print-architecture 2>/dev/null || echo amd64)
headers=linux-headers-$arch
if grep -qs '^ID=ubuntu' /etc/os-release; then headers=linux-headers-generic; fi
packages=(python3 python3-venv python3-bpfcc "$headers" iproute2 nftables)
# runc, since Debian 12's crun refuses nodes with both cgroup versions; iptables for masquerade and host ports of pods.
if [[ "$for_what" =~ ^(cluster|test)$ ]]; then packages+=(containerd runc containernetworking-plugins iptables buildah mmdebstrap); fi
if [ "$for_what" = test ]; then packages+=(xz-utils chromium gcc libc6-dev libcap2-bin git prometheus postgresql); fi
if [ "$for_what" = bench ]; then packages+=(bpfcc-tools gcc libc6-dev); fi

missing=()
installing=
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "setup: Debian packages are all there: ${packages[*]}"
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "setup: installing by apt: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # Only the programs of postgresql are needed, not a server with data.
  if [[ " ${missing[*]} " == *" postgresql "* ]] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    install -d /etc/postgresql-common
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
  fi
  apt-get update -qq
  if [[ " ${missing[*]} " == *" python3-venv "* ]]; then
    apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
  fi
  # apt and pip run side by side: each keeps one core busy.
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null &
  installing=$!
  trap wait EXIT  # never leave dpkg running
else
  echo "setup: not installed, since this is not root on a machine with apt: ${missing[*]}" >&2
  echo "setup: without them there is no tracing (demo and replay use a bundled capture instead)" >&2
fi

python=/usr/bin/python3
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || python=python3
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
  { echo "setup: Python 3.11 or newer is needed; $("$python" --version 2>&1) was found" >&2; exit 2; }
stamp=$(cat requirements.lock requirements-build.lock pyproject.toml | sha256sum | cut -c1-16)-$("$python" -c 'import sys; print(sys.version_info[:2])')
if [ -L .venv ]; then
  echo "setup: .venv is a link to $(readlink .venv), which others may use: left as it is"
elif [ "$(cat .venv/.stamp 2>/dev/null)" = "$stamp" ]; then
  echo "setup: .venv is up to date"
else
  echo "setup: making .venv with $("$python" --version) from requirements.lock"
  "$python" -m venv --clear .venv
  .venv/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements-build.lock -r requirements.lock
  .venv/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
  echo "$stamp" > .venv/.stamp
fi
if [ -n "$installing" ]; then
  wait "$installing"
  # Only promtool is needed: a test must not leave a Prometheus server running.
  if [[ " ${missing[*]} " == *" prometheus "* ]] && command -v systemctl >/dev/null; then
    systemctl disable -q --now prometheus 2>/dev/null || true
  fi
fi
echo "setup: done; the command is .venv/bin/podsonar"
