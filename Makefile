# Everything that `make demo` and `make test` need beyond make, git and python3-venv is installed by them, with a line that says what and why.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PACKAGES := recharge activities workflows ingest operations app devstack bench tests deploy

SEED ?=
SEEDS ?= 1
RECORDS ?= 500
FAULTS ?= 25

.PHONY: help demo dev test test-long pictures walkthrough sweep campaign bench check format constraints servers for-tests clean

help: ## Show the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: servers ## Three records on the whole local stack, watched: an error, a killed worker, each carried out once.
	@$(BIN)/recharge demo

dev: servers ## Keep the whole local stack up, with an intake and a worker, until Ctrl-C.
	@$(BIN)/recharge dev

test: for-tests ## Run the tests against real servers.
	@echo "Running the tests in two processes, each with a local stack of its own (10 to 15 minutes on two cores)"
	@$(BIN)/pytest -m 'not long' -n 2 --dist loadfile --no-loadscope-reorder

test-long: for-tests ## Run the tests that take longer than `make test` allows.
	@$(BIN)/pytest -m long

pictures: for-tests ## Take the pictures of docs/pictures anew, from the Web UI.
	@PICTURES=docs/pictures $(BIN)/pytest -q tests/integration/test_web_ui_pages.py

walkthrough: servers ## Play an operator's day on the local stack and write docs/walkthrough.md anew.
	@$(BIN)/python -m devstack.walkthrough

sweep: servers ## Kill the service at every message of a record's way; SWEEP=... passes options on, sweep.jsonl keeps what is done.
	@$(BIN)/python -m devstack.sweep $(SWEEP)

campaign: servers ## A service of several processes under faults drawn from SEED (RECORDS, FAULTS; SEEDS of them in a row), and its audit.
	@$(BIN)/python -m devstack.campaign $(if $(SEED),--seed $(SEED)) --seeds $(SEEDS) --records $(RECORDS) --faults $(FAULTS) $(CAMPAIGN)

bench: servers ## Throughput, latency, restarts and duplicates, each beside its yardstick.
	@$(BIN)/python -m bench

check: $(INSTALLED) ## Lint, types, architecture, deployment files.
	@$(BIN)/ruff format --check $(PACKAGES)
	@$(BIN)/ruff check $(PACKAGES)
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/mypy
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/kubernetes-validate --strict --quiet -k 1.35 deploy/kubernetes/*.yaml
	@$(BIN)/python -m devstack.promtool check rules deploy/prometheus/alerts.yml
	@$(BIN)/python -m devstack.promtool test rules deploy/prometheus/alerts_test.yml

format: $(INSTALLED) ## Format the code.
	@$(BIN)/ruff check --fix-only -q $(PACKAGES)
	@$(BIN)/ruff format $(PACKAGES)

constraints: $(INSTALLED) ## Pin every dependency anew in constraints.txt, with hashes.
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade --extra make pyproject.toml -o constraints.txt

servers: $(INSTALLED)
	@$(BIN)/python -m devstack.install

for-tests: $(INSTALLED)
	@$(BIN)/python -m devstack.install --for-tests

$(INSTALLED): constraints.txt pyproject.toml
	@echo "Installing the pinned Python packages into $(VENV) (about a minute, once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; name one by PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is needed: apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install --disable-pip-version-check -q --progress-bar on --require-hashes -r constraints.txt
	@$(BIN)/pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	@touch $(INSTALLED)

clean: ## Remove the environment and the local stack's data (not the downloaded servers).
	rm -rf $(VENV) .devstack build *.egg-info
