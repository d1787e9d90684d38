#!/bin/sh
# Runs a command with a root directory that is a mount point. A chroot's is none, and there neither a private mount
# namespace nor a container can be made: the command gets a namespace with the root bound onto itself.
#   deploy/own_root.sh COMMAND [ARGUMENT...]
set -eu
if [ "$(id -u)" != 0 ] || awk '$5 == "/" { found = 1 } END { exit !found }' /proc/self/mountinfo; then exec "$@"; fi
root=$(mktemp -d /tmp/podsonar-root-XXXXXX)
trap 'rmdir "$root"' EXIT
# shellcheck disable=SC2016 - the inner shell's own words
unshare --mount --propagation unchanged sh -c '
  mount --rbind / "$0" && mount --make-rprivate "$0" && folder=$PWD && exec chroot "$0" sh -c "cd \"\$0\" && exec \"\$@\"" "$folder" "$@"
' "$root" "$@"
