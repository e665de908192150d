# Everything a fresh machine needs: Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# two test processes of one thread each: small tensors gain nothing from threads, and two such pools fight; where a test
# asks for two threads, one that waits sleeps, since the other process has work for its core; compiled modules are
# kept, since many tests start a Python of their own
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: help demo test check lint types unit docs web dist benchmarks format clean
.DEFAULT_GOAL := help
# or an environment that could not be made, as without Debian's python3-venv, would count as made from then on
.DELETE_ON_ERROR:

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: $(VENV)/.installed ## matte a few photos and write a contact sheet (seconds, once installed)
	$(BIN)/mattekit demo

test: lint ## format and lint, types, tests and doctests
	@$(MAKE) --no-print-directory -j 2 types unit

check: lint ## format and lint, types and tests of what differs from main
	@files="$$($(BIN)/python .ci/changed.py types)"; [ -z "$$files" ] || $(BIN)/pyright $$files
	$(PYTEST) -x -q -n 2 $$($(BIN)/python .ci/changed.py tests)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.installed-dev
	$(BIN)/pyright

unit: $(VENV)/.installed-dev
	$(PYTEST) -n 2 --dist worksteal

docs: $(VENV)/.installed-dev ## build the pages into docs/_build/html and check them, warnings being errors
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -q -E -W --keep-going -n -b html docs docs/_build/html
	$(BIN)/python docs/check.py docs/_build/html
	$(BIN)/python docs/overflow.py docs/_build/html

web: $(VENV)/.installed-dev ## put the page that mattes photos in the browser together in web/dist (needs npm)
	npm install --prefix web --no-audit --no-fund
	$(BIN)/python web/assemble.py web/dist
	$(BIN)/mattekit export small web/dist/matte.onnx --half

dist: $(VENV)/.installed-dev ## build the sdist and the wheel into dist/ and check them
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

format: $(VENV)/.installed-dev ## put the code into form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

benchmarks: $(VENV)/.installed-dev ## measure on this machine, and print a table
	$(BIN)/python -m pytest benchmarks

clean: ## remove what the other targets made
	rm -rf $(VENV) web/dist web/node_modules dist build docs/_build docs/_run matte-demo

$(VENV)/bin/python:
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing mattekit into $(VENV) (a minute or two, the first time)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing mattekit with its development tools into $(VENV) (a minute or two, the first time)"
	@$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.installed
