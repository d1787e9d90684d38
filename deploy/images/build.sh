#!/usr/bin/env bash
# Builds the images with buildah and prints their sizes (uncompressed) against their budgets; check.sh starts them.
#   deploy/images/build.sh [collector|manager|node-agent]...       (all three without arguments)
#   BASE=docker.io/library/debian:bookworm-slim deploy/images/build.sh     a base from a registry
# Without BASE the base is made from Debian's packages by mmdebstrap: no image registry is needed. The storage driver vfs
# works everywhere; PODSONAR_IMAGE_DRIVER=overlay is faster and smaller where overlay can be mounted.
set -euo pipefail
cd "$(dirname "$0")/../.."
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(collector manager node-agent)
declare -A budget=([collector]=150 [manager]=270 [node-agent]=350)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=${REVISION:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}
stamp=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH=$stamp
store=(--storage-driver "${PODSONAR_IMAGE_DRIVER:-vfs}")
[ -z "${PODSONAR_IMAGE_ROOT:-}" ] || store+=(--root "$PODSONAR_IMAGE_ROOT" --runroot "$PODSONAR_IMAGE_ROOT.run")

missing=()
for package in buildah mmdebstrap; do command -v "$package" >/dev/null || missing+=("$package"); done
if [ ${#missing[@]} -gt 0 ]; then
  echo "images: installing by apt: ${missing[*]}" >&2
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

base=${BASE:-localhost/podsonar-base:bookworm}
if [ -z "${BASE:-}" ] && ! buildah "${store[@]}" inspect --type image "$base" >/dev/null 2>&1; then
  echo "images: making the base from Debian's packages" >&2
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mmdebstrap --quiet --variant=minbase --include=ca-certificates \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' bookworm "$work/base.tar"
  container=$(buildah "${store[@]}" from scratch)
  buildah "${store[@]}" add -q "$container" "$work/base.tar" / >/dev/null
  buildah "${store[@]}" commit -q --rm "$container" "$base" >/dev/null
fi

arguments=(--build-arg "BASE=$base" --build-arg "VERSION=$version" --build-arg "REVISION=$revision"
  --build-arg "SOURCE=${SOURCE:-unknown}" --timestamp "$stamp" --isolation chroot --layers)
for name in PIP_CERT PIP_INDEX_URL; do [ -z "${!name:-}" ] || arguments+=(--build-arg "$name=${!name}"); done
# The authorities that this machine trusts, for the build steps alone: behind a proxy the image's own are not sufficient.
[ ! -d /etc/ssl/certs ] || arguments+=(--volume /etc/ssl/certs:/etc/ssl/certs:ro)

# Build an image; again where buildah's copy of itself could not be sealed: the kernel was moving one of its pages (EBUSY).
build() {
  local said status
  for _ in 1 2 3; do
    said=$(buildah "${store[@]}" bud -q "${arguments[@]}" "$@" -f deploy/images/Dockerfile . 2>&1 >/dev/null) && status=0 || status=$?
    [ -z "$said" ] || echo "$said" >&2
    [ $status -ne 0 ] || return 0
    [[ $said == *"sealing memfd copy"* ]] || break
  done
  return 1
}

for part in "${parts[@]}"; do
  image=localhost/podsonar-$part:$version
  build --target "$part" -t "$image"
  megabytes=$(buildah "${store[@]}" images --format '{{.Size}}' "$image" | sed -n 's/^\([0-9]*\).* MB$/\1/p')
  echo "$image: $megabytes MB (budget ${budget[$part]} MB)"
  [ "${megabytes:-9999}" -le "${budget[$part]}" ] || { echo "images: $part is larger than its budget" >&2; exit 1; }
done
