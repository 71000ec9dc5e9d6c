# On a fresh machine: `make demo` shows it, `make test` tests it, `make fast` tests what takes under two minutes.
# Everything lands in .venv and build/.

PYTHON ?= python3
VENV ?= .venv
# Installed before the rest: left to itself, pip may choose a build of torch with several GB of CUDA libraries.
TORCH ?= torch==2.13.0
PROMPT ?= Explain in two sentences why the sky is blue.
PYTEST_ARGS ?=
BENCH_ARGS ?=

BIN := $(VENV)/bin
BUNDLE := build/SmolLM2-135M-Instruct.shark

.PHONY: demo test fast check bench lint format clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed-build
	@mkdir -p build
	$(BIN)/sharkpack build smollm2-135m -o $(BUNDLE) --force
	$(BIN)/sharkpack run $(BUNDLE) "$(PROMPT)" --stats

test: $(VENV)/.installed-dev
	PYTHON=$(BIN)/python scripts/check test $(PYTEST_ARGS)

fast: $(VENV)/.installed-dev
	PYTHON=$(BIN)/python scripts/check fast $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	PYTHON=$(BIN)/python scripts/check lint

check: $(VENV)/.installed-dev
	PYTHON=$(BIN)/python scripts/check

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Beside llama.cpp, which it builds the first time (minutes); BENCH_ARGS=--quick for a look. See benchmarks/README.md.
bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

clean:
	rm -rf $(VENV) build dist

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-build: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable '.[build]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed-build
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.installed-build
