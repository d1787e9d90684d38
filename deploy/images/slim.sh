#!/bin/sh
# Removes from this root what a container of Podsonar never runs: the package manager, Perl, documentation, the test
# half of Python, set-uid bits. The list of packages (/var/lib/dpkg/status) stays, for scanners.
set -eu
lib=$(echo /usr/lib/*-linux-gnu)
rm -rf /usr/share/doc /usr/share/man /usr/share/info /usr/share/locale /usr/share/lintian /usr/share/bash-completion \
  /usr/share/bug /usr/share/menu /usr/share/pixmaps /usr/share/common-licenses /usr/share/gcc /usr/share/gdb \
  /usr/share/perl* "$lib"/perl* /usr/bin/perl* "$lib"/gconv \
  /usr/lib/apt /etc/apt /var/lib/apt /var/cache/* /var/log/* /var/lib/dpkg/info /var/lib/dpkg/*-old \
  "$lib"/libperl.so* /usr/share/zoneinfo/right /usr/share/zoneinfo/posix /usr/bin/openssl /usr/bin/gpgv \
  "$lib"/libgnutls.so* "$lib"/libp11-kit.so* "$lib"/libgcrypt.so* "$lib"/libsystemd.so* "$lib"/libdb-5.3.so \
  /usr/bin/apt* "$lib"/libapt-*.so* /usr/bin/dpkg* /usr/sbin/dpkg* \
  /sbin/mke2fs /sbin/mkfs* /sbin/e2fsck /sbin/fsck* /sbin/debugfs /sbin/resize2fs /sbin/tune2fs \
  /usr/lib/python3*/test /usr/lib/python3*/idlelib /usr/lib/python3*/lib2to3 /usr/lib/python3*/pydoc_data \
  /usr/lib/python3*/tkinter /usr/lib/python3*/ensurepip /usr/lib/python3*/turtledemo /root/.cache /tmp/* \
  /opt/podsonar/slim.sh
find / -xdev -perm /6000 -type f -exec chmod a-s {} +
mkdir -p /tmp /var/log /var/cache
chmod 1777 /tmp
