# `make run` and `make test` are all that a fresh machine needs; `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.complete
PLOTS := .dvc/plots-offline.html
# The stages' command is `python -m flows.stage NAME`: python must be the one of .venv, here as in an activated shell.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# No usage statistics: .dvc/config and pyproject.toml say so too, for commands that are started without make.
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := 1

.PHONY: help run test test-fast lint flow serve bench faults kills truth docs setup deps lock clean
.DEFAULT_GOAL := help

help:  ## available targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup  ## the pipeline: only what changed runs (dvc repro)
	@goodfit check
	dvc repro
	@goodfit verdict

flow: setup  ## the same as a Prefect flow, with a temporary server
	python -m flows.training

PORT ?= 4200
serve: setup  ## a Prefect server on 127.0.0.1 (PORT=4200) and the scheduled deployment
	python -m flows.deployments --port $(PORT)

# A file of tests stays with one worker, where its module's fixtures are; tests/conftest.py says how many workers, and which files begin.
WORKERS ?= auto
PYTEST := pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test: setup  ## all tests, on all cores (WORKERS=1: on one)
	$(PYTEST)

test-fast: setup  ## the tests that are not marked slow
	$(PYTEST) -m "not slow"

lint: setup  ## style, format and types
	ruff check .
	ruff format --check .
	mypy

bench: setup  ## side by side with peers, one table of ratios and goals (docs/benchmarks.md: which data it needs)
	python -m benchmarks

setup: $(SETUP) $(PLOTS)  ## .venv with the locked packages; a second time does nothing

$(SETUP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "goodfit needs Python 3.11 or newer; found " + sys.version.split()[0] + " (make PYTHON=/path/to/python3.11 ...)")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "installing the locked packages into .venv (a minute or two the first time)"
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --compile-bytecode --require-hashes requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --editable .
	@touch $@

N ?= 200
SEED ?= 0
faults: setup  ## random kills, edits and damage, N trials (N=200 SEED=0); what must hold after each
	python -m tests.faults --trials $(N) --seed $(SEED) --flow

kills: setup  ## trainings killed at random moments, N kills (N=200 SEED=0); continued, they must end with the same bytes
	python -m tests.kills --kills $(N) --seed $(SEED)

SEEDS ?= 20
truth: setup  ## worlds with known answers, N seeds each (SEEDS=20): how often the diagnosis is right, into docs/diagnosis-truth.md
	python -m tests.truth --seeds $(SEEDS)

deps: setup  ## write into dvc.yaml what each stage's code really imports
	python -m flows.dependencies

docs: setup  ## the pages of docs/reference that are written from the code
	python -m docs.generate

lock: setup  ## compile requirements.lock from pyproject.toml again
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --upgrade \
	  --extra dev pyproject.toml --output-file requirements.lock

clean:  ## remove what make set up (data, models and the DVC cache stay)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build goodfit.egg-info

# DVC's page for plots, with Vega inlined: `dvc plots show` works without a network, and stops with an error where the page is missing.
$(PLOTS): $(SETUP)
	$(BIN)/python -m flows.plots
