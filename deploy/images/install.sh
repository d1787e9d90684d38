#!/bin/sh
# Makes /opt/PART: a virtual environment with the part's locked libraries and the podsonar wheel, compiled ahead of time
# because the containers' root is read-only.
set -eu
part=$1
python3 -m venv --without-pip --copies "/opt/$part"
rm "/opt/$part"/bin/python*
ln -s /usr/bin/python3 "/opt/$part/bin/python3"
pip="/opt/build/bin/pip --python /opt/$part/bin/python3"
$pip install -q --no-cache-dir --no-compile --require-hashes -r "$part.lock"
$pip install -q --no-cache-dir --no-compile --no-deps /wheels/podsonar-*.whl
site=$(echo /opt/"$part"/lib/python3*/site-packages)
sed -i "1s|.*|#!/opt/podsonar/bin/python3|" "/opt/$part/bin/podsonar"
sed -i "s|/opt/$part|/opt/podsonar|g" "/opt/$part/pyvenv.cfg"
case $part in
node-agent) rm -rf "$site/manager" "$site/collector" "$site/lab" ;;
manager) rm -rf "$site/node_agent" "$site/collector" "$site/lab" "$site/bpf" ;;
collector)
  # The asynchronous twin of the Kubernetes client is never imported.
  rm -rf "$site/manager" "$site/node_agent" "$site/lab" "$site/bpf" "$site/kubernetes/aio"
  ;;
esac
find "$site" -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
# Models of the API are loaded one by one, if at all: their bytecode is not worth its room.
python3 -m compileall -q -x 'kubernetes/client/(models|api)/' --invalidation-mode unchecked-hash \
  -s "/opt/$part" -p /opt/podsonar "$site"
