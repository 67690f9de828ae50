# `make demo` and `make test` are all a fresh machine needs: Python 3.11 or newer, make and a
# package index. Everything is installed into .venv from the hash-locked requirements/*.txt.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
PAYMENTS ?= sandbox
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1 $(BIN)/python -m pip
COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --upgrade \
	--generate-hashes --no-emit-index-url --no-emit-find-links --quiet \
	--custom-compile-command "make lock"

# Read by the settings when mypy's Django plugin loads them; nothing connects to these.
LINT_ENV := SECRET_KEY=lint-only-not-a-secret \
	SESSION_TOKEN_KEYS=lint:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA \
	DATABASE_URL=postgresql://postgres@127.0.0.1:1/lint REDIS_URL=redis://127.0.0.1:1/0

.PHONY: help demo demo-reset test lint lock bench bench-growth soak docs

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.site ## Start the shop with everything on PORT (8000; PAYMENTS=nmi); Ctrl-C stops it
	@PORT='$(PORT)' PAYMENTS='$(PAYMENTS)' exec $(BIN)/python -m funnel.local.demo

demo-reset: $(VENV)/.site ## Forget the demo's data
	@$(BIN)/python -m funnel.local.reset

test: $(VENV)/.dev ## Run the test suite (ARGS="tests/unit -x" passes arguments on)
	@$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.dev ## Check formatting, rules, types and import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(LINT_ENV) $(BIN)/mypy
	$(BIN)/lint-imports

lock: $(VENV)/.dev ## Renew requirements/*.txt from pyproject.toml, to the newest versions allowed
	$(COMPILE) --extra dev --output-file requirements/dev.txt
	$(COMPILE) --extra site --extra demo --extra progress --constraints requirements/dev.txt \
		--output-file requirements/site.txt
	$(COMPILE) --extra docs --extra site --constraints requirements/dev.txt \
		--output-file requirements/docs.txt

bench: $(VENV)/.dev ## Measure beside what others use (ARGS="l1_hit update", ARGS=--quick)
	@if [ -d tests/benchmarks ]; then $(BIN)/python -m tests.benchmarks $(ARGS); \
	else echo "There are no benchmarks yet (tests/benchmarks)."; fi

bench-growth: $(VENV)/.dev ## Measure with 10,000,000 sessions (ARGS="--growth-rows 100000")
	@$(BIN)/python -m tests.benchmarks growth growth_get growth_update $(ARGS)

soak: $(VENV)/.dev ## Run the long tests, with the full counts (SOAK_SECONDS=60 ARGS="-k ten_minutes")
	@if [ -d tests/soak ]; then $(BIN)/python -m pytest --hypothesis-profile=soak -m soak tests $(ARGS); \
	else echo "There are no soak tests yet (tests/soak)."; fi

docs: $(VENV)/.docs ## Build the documentation into build/docs
	@if [ -f docs/index.md ]; then \
		$(LINT_ENV) $(BIN)/python -m sphinx -W --keep-going -q docs build/docs \
		&& echo "Open build/docs/index.html."; \
	else echo "There is no documentation yet (docs/index.md)."; fi

# A stamp a requirements file: installed again only when that file changes. dev is a superset of
# site, at the same versions (make lock constrains the others by dev.txt).
$(VENV)/.%: requirements/%.txt | $(BIN)/pip
	@echo "Installing $$(grep -c "^[a-zA-Z0-9].*==" $<) packages into $(VENV) (from $<) …"
	@$(PIP) install --quiet --require-hashes --requirement $<
	@touch $@

$(VENV)/.site: requirements/site.txt | $(BIN)/pip
	@if [ -f $(VENV)/.dev ] && [ $(VENV)/.dev -nt requirements/dev.txt ]; then :; else \
		echo "Installing $$(grep -c "^[a-zA-Z0-9].*==" $<) packages into $(VENV) (from $<) …"; \
		$(PIP) install --quiet --require-hashes --requirement $<; fi
	@touch $@

# The first interpreter that is new enough and can make a virtual environment; PYTHON=… chooses.
$(BIN)/pip:
	@old=; bare=; for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14; do \
		version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
		$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { old="$$old $$python is $$version."; continue; }; \
		$$python -c 'import ensurepip, venv' 2>/dev/null || { bare="$$python"; continue; }; \
		echo "Creating $(VENV) with Python $$version …"; \
		exec $$python -m venv --clear $(VENV); \
	done; \
	if [ -n "$$bare" ]; then \
		echo "$$bare cannot create virtual environments (no ensurepip module)."; \
		echo "On Debian or Ubuntu: apt-get install python3-venv. Then run make again."; \
	else \
		echo "This project needs Python 3.11 or newer.$$old"; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.12 …"; \
	fi >&2; exit 1
