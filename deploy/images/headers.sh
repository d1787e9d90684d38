#!/bin/sh
# Fills /headers with the few kernel headers that the eBPF program needs, from Debian's packages for this architecture.
set -eu
arch=$(dpkg --print-architecture)
package=$(apt-cache depends "linux-headers-$arch" | sed -n 's/.*Depends: \(linux-headers-[0-9].*\)/\1/p' | head -n 1)
common=$(apt-cache depends "$package" | sed -n 's/.*Depends: \(linux-headers-.*-common\)/\1/p' | head -n 1)
mkdir -p /tmp/headers
cd /tmp/headers
apt-get download -qq -o APT::Sandbox::User=root "$package" "$common"
for archive in *.deb; do dpkg-deb -x "$archive" .; done
python3 /src/prune_headers.py "usr/src/$package" "usr/src/$common" /src /headers
rm -rf /tmp/headers
