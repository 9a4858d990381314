# Everything runs in the virtual environment .venv, which `setup` makes.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DOCS_READY := .venv/.docs-ready

.PHONY: help setup quickstart test golden lint docs format clean

help:
	@echo 'make setup       make .venv with the pinned dependencies'
	@echo 'make quickstart  search, train and report a small design (a few minutes, CPU only)'
	@echo 'make test        lint, types and all tests'
	@echo 'make golden      make the golden records of the tests anew (see CONTRIBUTING.md)'
	@echo 'make lint        lint and types only'
	@echo 'make docs        build all pages and the API reference into build/docs'
	@echo 'make format      bring the code into shape'
	@echo 'make clean       remove .venv and caches; runs/ and data/ stay'

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) > /dev/null || { echo 'xpert: error: no $(PYTHON) found; XPert needs Python 3.11 or newer (make setup PYTHON=...)' >&2; exit 2; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "xpert: error: XPert needs Python 3.11 or newer, $(PYTHON) is %d.%d (make setup PYTHON=...)" % v[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,search]'
	@touch $@

quickstart: setup
	$(BIN)/xpert search --preset quickstart --out runs/quickstart --resume

test: lint
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

golden: setup
	$(BIN)/python -m tests.golden $(KINDS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo --no-cache

docs: $(DOCS_READY)
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --builder html --conf-dir docs . build/docs
	@echo 'open build/docs/docs/index.html'

$(DOCS_READY): $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .pytest_cache .hypothesis .ruff_cache build dist docs/reference
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
