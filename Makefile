# What a contributor runs. Every target does its own set-up and repeats cheaply.

VENV ?= .venv
JOBS ?= 2
BIN := $(VENV)/bin
PY := $(BIN)/python
READY := $(VENV)/.ready
PROJECTS := core/pyproject.toml $(sort $(wildcard plugins/*/pyproject.toml))
MEMBERS := $(patsubst %/pyproject.toml,./%,$(PROJECTS))
SOURCES := $(patsubst %/pyproject.toml,%/src,$(PROJECTS))
TESTS := $(wildcard $(patsubst %/pyproject.toml,%/tests,$(PROJECTS)))
# What a minute allows; `make test` runs everything.
FAST := $(addprefix core/tests/,cli config content plugin policy) plugins/memory/tests
TREES := $(SOURCES) $(TESTS) $(wildcard tests docs)

# The versions of constraints.txt hold for what is installed and for what builds it.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_BUILD_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test check bench servers docs format constraints clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(READY) ## store real files over a stack, read them back, catch a flipped byte (under two minutes)
	@$(PY) docs/demo/demo.py

# A server that cannot be built fails the tests that need it, each with the reason, and no other.
test: $(READY) ## every test of every distribution
	-@$(PY) -m tests.support.servers
	$(PY) -m pytest -n $(JOBS) --dist worksteal

check: $(READY) ## the fast inner loop: format, lint, types, layering, and the fast unit tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(PY) -m mypy $(TREES)
	$(PY) -c 'from importlinter.cli import lint_imports_command as main; main()'
	$(PY) -m pytest -n $(JOBS) --dist worksteal -q $(FAST)

bench: $(READY) ## measure against the neighbours, into docs/reference/benchmarks.md (ARGS="name --quick")
	$(PY) -m tests.bench $(ARGS)

servers: $(READY) ## build the servers of the tests once into the user's cache (needs Go; ARGS="minio" for one)
	@$(PY) -m tests.support.servers $(ARGS)

docs: $(READY) ## build docs/_build/html, with warnings as errors
	$(PY) -m sphinx -W --keep-going -n -q -b html -d docs/_build/doctrees docs docs/_build/html
	@echo "docs/_build/html/index.html"

format: $(READY) ## let ruff format and mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints: ## write constraints.txt anew (PYTHON=the oldest one that is supported)
	sh .ci/constraints $(MEMBERS)

clean: ## remove the environment, caches and what was built
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .benchmarks docs/_build build dist
	find core plugins tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

# One pip command installs the packages of this repository, so that none is asked of a registry.
$(READY): pyproject.toml constraints.txt $(PROJECTS)
	@python=$$(sh .ci/find-python) && { [ -x $(PY) ] || "$$python" -m venv $(VENV); }
	@$(PY) -m pip install -q --upgrade pip
	@$(PY) -m pip install -q --group dev $(patsubst %,-e %,$(MEMBERS))
	@touch $@
