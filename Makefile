# Each target works on a fresh Debian 12/13 machine as root; it installs what it needs and reports it.
.PHONY: setup demo test test-fast lint lock images manifests models cluster cluster-down bench soak
ARGS ?=
# Without what needs more than Python, and without the suites that run whole programs.
FAST := -m "not (kernel or cluster or browser or postgresql or long)" $(addprefix --ignore=tests/,acceptance bench demo deploy)

setup:
	@deploy/setup.sh run

demo:
	@deploy/setup.sh run >&2
	@.venv/bin/podsonar demo $(ARGS)

test:
	@deploy/setup.sh test
	deploy/private_mount_namespace.py .venv/bin/pytest -n 2 --dist loadgroup $(ARGS)

test-fast:
	@deploy/setup.sh run
	.venv/bin/pytest -n 3 $(FAST) $(ARGS)

images:
	@deploy/images/build.sh $(ARGS)

manifests:
	@helm=$$(.venv/bin/python -c "from lab.controlplane.binaries import find_or_build; print(find_or_build(['helm'], lambda _: None)['helm'])"); \
	deploy/manifests/render.sh $$helm > deploy/manifests/podsonar.yaml; deploy/manifests/render.sh $$helm agent > manager/installations/agent.yaml

models:
	@deploy/setup.sh test >&2
	.venv/bin/python deploy/api_models.py

cluster:
	@deploy/setup.sh cluster >&2
	@deploy/private_mount_namespace.py .venv/bin/python -m lab.real_cluster up

cluster-down:
	@deploy/setup.sh run >&2
	@deploy/private_mount_namespace.py .venv/bin/python -m lab.real_cluster down

bench:
	@deploy/setup.sh bench >&2
	@.venv/bin/python bench/run.py $(ARGS)

soak:
	@deploy/setup.sh test >&2
	@.venv/bin/python -m tests.soak.soak $(ARGS)

lint:
	@deploy/setup.sh run
	.venv/bin/ruff check . && .venv/bin/ruff format --check .
	.venv/bin/mypy && .venv/bin/lint-imports

lock:
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --no-header -o requirements.lock
	echo 'hatchling==1.33.0 editables' | tr ' ' '\n' | uv pip compile - --universal --python-version 3.11 --generate-hashes --no-header -o requirements-build.lock
	for part in collector manager node-agent; do uv pip compile deploy/images/$$part.in -c requirements.lock --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q -o deploy/images/$$part.lock; done
