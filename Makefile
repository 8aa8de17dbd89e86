# Everything runs in .venv, which the first target that needs it makes. `make demo` and `make test`
# are all that a newcomer needs; BUILD.md explains the rest.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
WORKERS ?= 2
# The measurements of `make bench`, one JSON line each.
BENCHMARKS := attribution encoder similarity scaling precision estimators sweep index

.PHONY: help setup demo test lint format types doctest parity slow check bench clean

help:
	@echo "make demo    set up, then rank the packaged zoo's networks and layers, with pictures"
	@echo "make test    set up, then run the tests"
	@echo "make check   what CI runs: test, lint, types, doctest, parity, slow"
	@echo "make bench   the benchmarks, one JSON line each"
	@echo "make lint | format | types | doctest | parity | slow | clean"

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "depara_jax needs Python 3.11 or later; found $(PYTHON)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,lint]'
	@touch $@

setup: $(INSTALLED)

demo: $(INSTALLED)
	$(BIN)/depara demo --output depara-out

# Most of the tests' time is compilation of small programs, and most of that XLA's optimiser and its
# fusion emitters; the marked tests (`make parity`, `make slow`) and the doctests run with them.
# Neighbouring tests stay in one worker, which has their fixtures and programs.
QUICK_XLA := --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1 \
  --xla_cpu_emitter_verification_level=0
test: $(INSTALLED)
	JAX_DISABLE_MOST_OPTIMIZATIONS=1 XLA_FLAGS="$$XLA_FLAGS $(QUICK_XLA)" \
	  $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not parity and not slow"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(INSTALLED)
	$(BIN)/pyright --pythonpath $(BIN)/python

doctest: $(INSTALLED)
	$(BIN)/python -m pytest --doctest-modules --ignore=depara_jax/zoo depara_jax

# Against other frameworks. Torch is the CPU build: where pip would take the CUDA one, install it
# beforehand.
parity: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m parity

# Killed processes, jobs of many hosts, Ray, large arrays, indexes handed to other libraries.
slow: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt ray usearch faiss-cpu
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "slow and not parity"

check: test lint types doctest parity slow

bench: $(INSTALLED)
	@for name in $(BENCHMARKS); do $(BIN)/python -m experiments.benchmarks.$$name || exit 1; done

clean:
	rm -rf $(VENV) build dist depara-out .pytest_cache .ruff_cache *.egg-info
