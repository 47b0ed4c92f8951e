# `make demo` and `make test` set up a virtual environment in .venv on their first run and reuse it afterwards.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo test lint types check slow bench sample-data clean

help:
	@echo "make demo         the sample products from digital numbers to maps, in demo/"
	@echo "make test         formatting, lint, types and the tests"
	@echo "make slow         the tests marked slow"
	@echo "make bench        the benchmarks that need no data"
	@echo "make sample-data  make sample_data/ again from its generator"

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

setup: $(READY)

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy rsseg

test: lint types
	$(BIN)/python -m pytest -m "not slow and not gpu and not qgis"

slow: $(READY)
	$(BIN)/python -m pytest -m "slow"

clean:
	rm -rf demo .mypy_cache .ruff_cache .pytest_cache
