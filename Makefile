# Every target makes .venv itself where it is missing. PYTHON names the interpreter it is made with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.DEFAULT_GOAL := help
.PHONY: help demo test test-browser check bench wheel clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*## "} {printf "  make %-12s %s\n", $$1, $$2}'

demo: $(READY)  ## synthetic corpus -> train -> evaluate -> name the dialect of a held-out clip
	$(BIN)/hf-dialects demo --out runs/demo

test: $(READY)  ## all tests, offline, on the CPU
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -rs

test-browser: $(READY)  ## the report in headless Chromium; part of make test, skipped there without one
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rs tests/report/test_browser.py tests/report/test_datamap_browser.py

check: $(READY)  ## lint, format, import direction
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -q tests/test_layers.py

bench: $(READY)  ## speed ratios, measured side by side in one run
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python benchmarks/run.py

wheel: $(READY)  ## build the wheel into dist/
	$(BIN)/python -m build --wheel

clean:  ## remove what was built, keep runs/
	rm -rf $(VENV) build dist *.egg-info

$(READY): setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade pip
	$(BIN)/python -m pip install -e ".[demo,dev]"
	touch $(READY)
