#!/usr/bin/env bash
# Starts the program of each built image as its pod would: read-only root, an empty /tmp, its user, its capabilities. The
# node agent's loader compiles with the image's own headers and attaches for a second. Root only.
#   deploy/images/check.sh [collector|manager|node-agent]...
set -euo pipefail
cd "$(dirname "$0")/../.."
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(collector manager node-agent)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
store=(--storage-driver "${PODSONAR_IMAGE_DRIVER:-vfs}")
[ -z "${PODSONAR_IMAGE_ROOT:-}" ] || store+=(--root "$PODSONAR_IMAGE_ROOT" --runroot "$PODSONAR_IMAGE_ROOT.run")

in_image() { # ROOT SETPRIV_OPTIONS COMMAND: run the command in the image's root, read-only except /tmp
  unshare --mount sh -euc '
    mount --bind "$1" "$1" && mount -t proc proc "$1/proc" && mount --rbind /sys "$1/sys" && mount --bind /dev "$1/dev"
    mount -t tmpfs -o mode=1777 tmpfs "$1/tmp" && mount -o remount,ro,bind "$1"
    exec setpriv $2 chroot $3 "$1" /usr/bin/env -i PATH=/opt/podsonar/bin:/usr/bin:/bin NODE_NAME=check sh -euc "$4"' \
    sh "$1" "$2" "$3" "$4"
}

for part in "${parts[@]}"; do
  container=$(buildah "${store[@]}" from "localhost/podsonar-$part:$version")
  root=$(buildah "${store[@]}" mount "$container")
  nobody=(--bounding-set=-all,+sys_chroot,+setuid,+setgid --userspec=65534:65534)
  case $part in
  collector) in_image "$root" "${nobody[@]}" '
      ! said=$(podsonar collector run --spool-folder /tmp/spool 2>&1) && echo "$said" | grep "service account of this pod"
      python3 -c "import collector.app, collector.directory.server"' ;;
  manager) in_image "$root" "${nobody[@]}" '
      podsonar manager serve --listen 127.0.0.1:0 --database sqlite:////tmp/m.db 2>/tmp/said & sleep 4
      url=$(sed -n "s/^manager: //p" /tmp/said)
      python3 -c "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1] + \"readyz\").read())" "$url"
      kill $! && { wait $! || [ $? = 143 ]; }' ;;
  node-agent) in_image "$root" --bounding-set=-all,+bpf,+perfmon,+sys_chroot '' '
      podsonar agent capture /tmp/node.capture --seconds 1 && tar --version | head -n 1 && xz --version | head -n 1' ;;
  esac
  buildah "${store[@]}" umount "$container" >/dev/null
  buildah "${store[@]}" rm "$container" >/dev/null
  echo "$part: starts"
done
