# `make demo` and `make test` set everything up by themselves; see README.md.
SHELL := /bin/bash
.DELETE_ON_ERROR:

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
ENCLOSED := e2e/testbed/enclosed
SPEED ?= demo
# Each with an API server, istiod and Prometheus of its own; files of tests go to whichever is free.
TESTBEDS ?= 4

.PHONY: setup testbed demo test unit e2e lint format crds tables bench soak long-simulation clean

setup: $(READY)

$(READY): requirements-dev.lock
	@echo "== Python packages into $(VENV)"
	@python3 -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

testbed: setup
	@$(PY) -m e2e.testbed setup

demo: testbed
	@$(ENCLOSED) $(PY) -m e2e.demo --speed $(SPEED)

test: lint unit e2e

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PY) -m pytest -q tests/test_architecture.py

unit: setup
	$(PY) -m pytest -q -n 2 --dist worksteal tests

e2e: testbed
	$(PY) -m pytest -v --durations=20 --dist loadfile --no-loadscope-reorder --tx "$(TESTBEDS)*popen//python=$(ENCLOSED) $(PY)" e2e

bench: testbed
	$(ENCLOSED) $(PY) -m e2e.bench $(if $(WRITE),--write) $(addprefix --only=,$(ONLY))

# CANARIES=1000 RECONCILES=10000 unless told otherwise, which takes hours.
soak: setup
	$(if $(CANARIES),CANARIES=$(CANARIES)) $(if $(RECONCILES),RECONCILES=$(RECONCILES)) $(PY) -m e2e.bench_simulated

long-simulation: setup
	HYPOTHESIS_PROFILE=long $(PY) -m pytest -q tests/sim/test_schedules.py

format: setup
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

crds: setup
	$(PY) -m canary.api.crd

tables: setup
	$(PY) -m e2e.chart_tables

clean:
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis
