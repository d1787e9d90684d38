#!/bin/sh
# Runs a command that needs tracefs and /lib/modules/$(uname -r), in private mounts that end with it.
#   unshare -m private_mounts.sh COMMAND...
# Any headers are sufficient for these measurements; a custom kernel has none in /lib/modules.
set -e
release=$(uname -r)
if ! [ -e "/lib/modules/$release/build" ]; then
  headers=$(ls -d /usr/src/linux-headers-*-generic /usr/src/linux-headers-*-"$(dpkg --print-architecture)" 2>/dev/null | tail -1)
  common=$(ls -d /usr/src/linux-headers-*-common 2>/dev/null | tail -1)
  mount -t tmpfs tmpfs /lib/modules
  mkdir "/lib/modules/$release"
  ln -s "$headers" "/lib/modules/$release/build"
  ln -s "${common:-$headers}" "/lib/modules/$release/source"
fi
[ -e /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing
exec "$@"
