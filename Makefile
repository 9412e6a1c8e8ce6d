# Everything goes through the virtual environment .venv, which is made and filled when it has to be.
# Talk about installing goes to stderr, so that what a program prints stays alone on stdout.

.DEFAULT_GOAL := help
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input install --quiet
# Which Python makes the environment: the first that is new enough. Override with `make PYTHON=... up`.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
BENCHMARKS := up search site artwork hashing private deephash detector signature
# Three suit two cores, since many wait for processes and browsers; what starts whole sites stays in one of them
# (--dist loadgroup).
TEST_PROCESSES ?= 3

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: up
up: venv ## install what is missing and run the whole site: database, worker, web server (Ctrl-C stops all)
	@exec $(PY) -m webapp.embedded up

.PHONY: stop
stop: venv ## stop what a killed `make up` left running
	@exec $(PY) -m webapp.embedded stop

.PHONY: test
test: dev browser ## run every test, in a real browser too (ARGS="-k name" chooses)
	@exec $(PY) -m pytest -n $(TEST_PROCESSES) --dist loadgroup $(ARGS)

.PHONY: screenshots
screenshots: dev browser ## take the pictures in docs/screenshots anew
	@exec env SCREENSHOTS=1 $(PY) -m pytest tests/e2e/test_screenshots.py

.PHONY: lint
lint: dev ## check style, types, layers, migrations, the OpenAPI file and the deployment files
	$(PY) -m ruff check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(PY) -m tests.server manage.py makemigrations --check --dry-run
	$(PY) -m tests.server manage.py spectacular --validate --fail-on-warn --file .venv/openapi.yaml
	@diff -u docs/openapi.yaml .venv/openapi.yaml || { echo "docs/openapi.yaml is old: run 'make openapi'" >&2; exit 1; }
	.venv/bin/hadolint Dockerfile
	$(PY) -m yamllint --strict compose.yaml

.PHONY: openapi
openapi: dev ## write docs/openapi.yaml anew
	$(PY) -m tests.server manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

.PHONY: bench
bench: $(addprefix bench-,$(BENCHMARKS)) ## run all benchmarks and write benchmarks/RESULTS.md

bench-%: venv ## run one benchmark, such as bench-site (QUICK=1: a small sample within 50 seconds)
	@exec $(PY) -m benchmarks.$*

.PHONY: clean
clean: ## remove caches; .venv and the site's data in var stay
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache test-results build *.egg-info
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

.PHONY: venv
venv:
	@$(PY) -c '' 2>/dev/null || { \
		test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: apt-get install python3 python3-venv" >&2; exit 1; }; \
		$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv is missing: apt-get install python3-venv" >&2; exit 1; }; \
		echo "Making .venv with $$($(PYTHON) --version)" >&2; \
		$(PYTHON) -m venv --clear .venv >&2; }
	@cmp -s requirements.txt .venv/requirements.installed || { \
		echo "Installing requirements.txt (2 GB, PyTorch most of it); the first time this takes minutes" >&2; \
		$(PIP) --requirement requirements.txt >&2 && $(PIP) --no-deps --editable . >&2 && \
		cp requirements.txt .venv/requirements.installed; }

.PHONY: dev
dev: venv
	@cmp -s requirements-dev.txt .venv/requirements-dev.installed || { \
		echo "Installing requirements-dev.txt" >&2; \
		$(PIP) --requirement requirements-dev.txt >&2 && \
		cp requirements-dev.txt .venv/requirements-dev.installed; }

.PHONY: browser
browser:
	@command -v chromium >/dev/null || { \
		if [ "$$(id -u)" = 0 ]; then root=; \
		elif sudo -n true 2>/dev/null; then root=sudo; \
		else echo "The browser tests need Chromium: have 'apt-get install chromium fonts-liberation' run as root" >&2; exit 1; fi; \
		echo "Installing Chromium for the browser tests" >&2; \
		$$root apt-get update -qq >&2 && \
		DEBIAN_FRONTEND=noninteractive $$root apt-get install -y -qq --no-install-recommends chromium fonts-liberation >&2; }
