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
	@echo "make bench        speed and memory of every stage beside its limits (needs no data)"
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

# the sample products' folder demo/ is a run like any other: made again, it does only what is missing
demo: $(READY)
	@$(BIN)/rsseg run quick sample_data/liss4_january sample_data/liss4_march.zip -o demo \
		--reference sample_data/liss4_january_reference.gpkg --reference sample_data/liss4_march_reference.gpkg --field class
	@$(BIN)/rsseg report demo --overwrite
	@echo "open demo/report.html, or drag demo/liss4_january/labels/recal.tif into QGIS; $(BIN)/rsseg view demo shows all maps"

sample-data: $(READY)
	RSSEG=$(BIN)/rsseg sample_data/make.sh

# every line beside its limit and what one would write instead; on a quiet machine, see benchmarks/bench.py --list
bench: $(READY)
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/bench.py --table

clean:
	rm -rf demo .mypy_cache .ruff_cache .pytest_cache
