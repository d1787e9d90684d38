#!/bin/sh
# Creates /opt/PART of each image, a virtual environment with the part's locked libraries, and /opt/build, which builds the
# wheel. Python is compiled ahead of time, because the containers' root is read-only.
set -eu
python3 -m venv /opt/build
/opt/build/bin/pip install -q --no-cache-dir --require-hashes -r requirements-build.lock
for part in collector manager node-agent; do
  python3 -m venv --without-pip "/opt/$part"
  /opt/build/bin/pip --python "/opt/$part/bin/python3" install -q --no-cache-dir --no-compile --require-hashes \
    -r "$part.lock"
  sed -i "s|/opt/$part|/opt/podsonar|g" "/opt/$part/pyvenv.cfg"
  rm -f "/opt/$part"/bin/[Aa]ctivate* "/opt/$part"/bin/python "/opt/$part"/bin/python3.*
  site=$(echo "/opt/$part"/lib/python3*/site-packages)
  find "$site" -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
  # Never used: SQLAlchemy's own tests, and pygments' lexers, a dependency of rich.
  rm -rf "$site/sqlalchemy/testing" "$site/pygments/lexers"
  # Never imported: Arrow's remote procedure calls and S3, its headers and the sources of its bindings.
  if [ -d "$site/pyarrow" ]; then
    rm -rf "$site/pyarrow/include" "$site/pyarrow/src" "$site"/pyarrow/libarrow_flight.so* "$site"/pyarrow/libarrow_s3.so* \
      "$site"/pyarrow/_flight.* "$site"/pyarrow/*.pxi "$site"/pyarrow/*.pxd "$site"/pyarrow/*.pyx
  fi
  # Never imported: the asynchronous Kubernetes client, and its calls by name (the collector's requests are raw). Models are
  # loaded one by one, if at all: their bytecode is not worth its space.
  if [ -d "$site/kubernetes" ]; then
    rm -rf "$site/kubernetes/aio"
    find "$site/kubernetes/client/api" -name '*_api.py' -delete
  fi
  python3 -m compileall -q -x 'kubernetes/client/models/' --invalidation-mode unchecked-hash \
    -s "/opt/$part" -p /opt/podsonar "$site"
done
