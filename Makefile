# Everything runs in an environment of its own, ./.venv; the first call makes it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test audit check format bench bench-all chaos fuzz clean
help:            ## what one can ask for
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "usage-credits needs Python 3.11 or newer; this is $$($(PYTHON) --version). Name another: make PYTHON=python3.12 demo"; exit 1; }
	@echo "making the environment in ./$(VENV) (once; a minute or two)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet --editable '.[embedded,dev]'
	@touch $@

demo: $(VENV)/installed   ## the main job on real input: priced, bounded, paused, proved
	@$(BIN)/usage-credits demo

test: $(VENV)/installed   ## all tests
	@$(BIN)/python -m pytest -n 4 --dist worksteal

SEEDS ?= 50000
FIRST ?= 0
audit: $(VENV)/installed  ## random months against the auditor on all cores: SEEDS=50000 from seed FIRST=0 on
	@$(BIN)/python -m tests.support.audit --seeds $(SEEDS) --first $(FIRST)

check: $(VENV)/installed  ## lint, types, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/installed ## put the code into its format
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: $(VENV)/installed  ## events per second of the ledger path on a real Kafka
	@$(BIN)/python -m benchmarks

# The contenders' frameworks; Quix Streams pins others' versions, so it is alone in its environment.
.venv-%/installed: pyproject.toml
	@echo "making the environment in ./.venv-$* (once; a minute or two)"
	@$(PYTHON) -m venv .venv-$*
	@.venv-$*/bin/python -m pip install --quiet --upgrade pip
	@.venv-$*/bin/python -m pip install --quiet --editable '.[$*]'
	@touch $@

BENCH ?=
bench-all: $(VENV)/installed .venv-bench/installed .venv-bench-quix/installed  ## the same job in other frameworks too; writes docs/benchmarks.md; half an hour
	@$(BIN)/python -m benchmarks all $(BENCH)

SEED ?= 1
CHAOS_SEEDS ?= 20
CHAOS_FAULTS ?= 10
chaos: $(VENV)/installed  ## two workers, a sink, brokers and ClickHouse under seeded faults; nothing lost, nothing twice
	@$(BIN)/python -m tests.chaos --seed $(SEED) --seeds $(CHAOS_SEEDS) --faults $(CHAOS_FAULTS)

FUZZ_RECORDS ?= 1000000
FUZZ_WORKER_RECORDS ?= 200000
fuzz: $(VENV)/installed   ## records mutated from real ones, in memory and through a running worker; each accounted for
	@$(BIN)/python -m tests.fuzz --seed $(SEED) --records $(FUZZ_RECORDS)
	@$(BIN)/python -m tests.fuzz --seed $(SEED) --records $(FUZZ_WORKER_RECORDS) --worker

clean:           ## remove what runs left behind (not the environment)
	@rm -rf var .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist *.egg-info
