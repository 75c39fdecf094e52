# The commands that people and CI share.  `make` alone lists them.

PYTHON ?= python3
NAME ?=
# As typed: a dollar sign in a name is no variable of make.
override NAME := $(value NAME)
export NAME

BIN := .venv/bin
RUN := $(BIN)/python -m
WITH_SERVICES := $(RUN) deploy.local.with_services
DOCKERFILES := $(wildcard deploy/docker/*.Dockerfile)
GROUPS := control data local
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --no-emit-index-url

# Processes that share the tests must list them alike, also those whose parameters come out of a set.
PARALLEL := PYTHONHASHSEED=0

.DEFAULT_GOAL := help
.PHONY: help setup up organisation test test-fast lint fmt lock env catalog openapi bench soak clean

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /\1 - /p' $(MAKEFILE_LIST)

setup: ## make .venv with the locked dependencies
	@$(PYTHON) deploy/local/setup_venv.py

up: setup ## run the whole system on this machine until Ctrl-C
	@exec $(RUN) deploy.local.up --die-with-parent

organisation: setup ## make another organisation in the running system: NAME=Acme
	@$(RUN) deploy.local.organisation "$$NAME"

test: lint ## the whole check, as CI runs it: lint, types, import contracts, every test
	@echo "test: models have their migrations"
	@$(WITH_SERVICES) $(BIN)/python manage.py makemigrations --check --dry-run --verbosity 0
	@echo "test: pytest, two at a time"
	@$(PARALLEL) $(WITH_SERVICES) $(RUN) pytest -q -n 2 --dist loadfile --ignore=tests/system
	@echo "test: pytest, whole systems, one after the other"
	@exec $(WITH_SERVICES) $(RUN) pytest -q tests/system

test-fast: setup ## tests without those that start whole systems: ARGS="-k routing"
	@exec env $(PARALLEL) $(WITH_SERVICES) $(RUN) pytest -q -n 2 --dist loadfile --ignore=tests/system --ignore=tests/performance $(ARGS)

lint: setup ## ruff, mypy, import contracts, deploy files; changes nothing
	@echo "lint: ruff"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@echo "lint: mypy"
	@$(WITH_SERVICES) $(BIN)/mypy --no-error-summary
	@echo "lint: import contracts"
	@out=$$($(BIN)/lint-imports 2>&1) || { echo "$$out"; exit 1; }
	@echo "lint: deploy files"
	@$(BIN)/hadolint $(DOCKERFILES)
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec deploy/compose.yaml
	@$(RUN) deploy.local.env_example --check

fmt: setup ## format, and fix what can be fixed
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix --quiet .

# The groups are narrowed from the one that holds all, so that every process runs the versions that were tested.
lock: setup ## resolve the dependencies anew, into deploy/requirements
	@echo "lock: dev"
	@$(COMPILE) --all-extras -o deploy/requirements/dev.txt
	@set -e; versions=$$(mktemp); trap 'rm -f "$$versions"' EXIT; \
	sed -e '/--hash=/d' -e 's/ *\\$$//' deploy/requirements/dev.txt > "$$versions"; \
	for group in $(GROUPS); do \
		echo "lock: $$group"; $(COMPILE) --extra "$$group" -c "$$versions" -o "deploy/requirements/$$group.txt"; \
	done

env: setup ## write deploy/env.example from the settings
	@$(RUN) deploy.local.env_example

catalog: setup ## write shared/catalog/catalog.json from the providers
	@$(RUN) data_plane catalog > shared/catalog/catalog.json.new
	@mv shared/catalog/catalog.json.new shared/catalog/catalog.json

openapi: setup ## write control_plane/openapi.json from the resources of the Admin API
	@$(BIN)/python manage.py write_openapi

bench: setup ## CPU and latency: the gateway beside a bare proxy, translations, limits, the Admin API with many keys, the ledger
	@$(WITH_SERVICES) $(RUN) tests.performance.bench
	@$(RUN) tests.performance.translation
	@$(RUN) tests.performance.limits
	@$(WITH_SERVICES) $(RUN) tests.performance.admin_api
	@exec $(WITH_SERVICES) $(RUN) tests.performance.ledger

soak: setup ## what takes long: the p99 beside slow streams and large bodies, twenty kills, thousands of drawn configs
	@$(WITH_SERVICES) $(RUN) tests.performance.soak
	@exec env GATEHOUSE_THOROUGH=1 $(WITH_SERVICES) $(RUN) pytest -q tests/system/test_crash.py tests/shared/routing/test_compile.py

clean: setup ## remove the data of `make up` and all caches; .venv stays
	@$(RUN) deploy.local.clean
