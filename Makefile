# `make` alone lists the targets. All tools live in .venv, installed on first use.
PYTHON ?= python3
# What `make test` runs: `make test TESTS=tests/unit` is one tier.
TESTS ?= tests
ARGS ?=

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

ENGINE := {{cookiecutter.project_slug}}
BIN := $(CURDIR)/.venv/bin
INSTALLED := .venv/.installed
IMPLEMENTATION := demo/Distributed-HelloWorld

# Not in the tree: cookiecutter would copy what lies in the engine's folders.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.venv/cache/python
export RUFF_CACHE_DIR := $(CURDIR)/.venv/cache/ruff
export MYPY_CACHE_DIR := $(CURDIR)/.venv/cache/mypy
# Where this is set nothing would be cached there, and each start of Python takes three times as long.
unexport PYTHONDONTWRITEBYTECODE

COMPILE := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command 'make lock' $(ARGS)

.PHONY: help demo test lint types format docs reference hooks lock bench install clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*##/\1\t/p' Makefile | expand -t 10

demo: install  ## render HelloWorld into demo/ and run its jobs on this machine
	@rm -rf demo
	@$(BIN)/cookiecutter . --no-input --default-config --output-dir demo
	@$(MAKE) -C $(IMPLEMENTATION) local PYTHON=$(BIN)/python ARGS=
	@cd $(IMPLEMENTATION) && find local-output -type f | sort | while read -r file; do \
		echo; echo "$(IMPLEMENTATION)/$$file:"; cat "$$file"; done
	@echo; echo "All of this lies in $(IMPLEMENTATION); its README.md says what to try next."

test: install  ## every test that this machine can run; what it cannot is named with its reason
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS) $(TESTS)

lint: install  ## ruff, its format, shellcheck, hadolint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/shellcheck .ci/run
	@$(BIN)/hadolint '$(ENGINE)/ds/worker/Dockerfile'

types: install  ## mypy --strict
	@$(BIN)/mypy '$(ENGINE)/ds' '$(ENGINE)/run.py' '$(ENGINE)/setup_AWS.py' benchmarks scripts

format: install  ## let ruff format and repair
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: install  ## the site, into site/; a broken link is an error
	@# Not --quiet: it silences --strict too.
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

reference: install  ## write docs/settings.md and docs/roles.md again from the engine's tables
	@$(BIN)/python scripts/reference.py

hooks: install  ## write hooks/ again from the engine's modules
	@$(BIN)/python hooks/build.py

lock: install  ## pin what pyproject.toml asks for; `make lock ARGS=--upgrade` takes newer versions
	@$(BIN)/uv pip compile $(COMPILE) --group dev pyproject.toml -o requirements.lock
	@cd '$(ENGINE)' && for pair in worker:ds/worker/requirements.txt control:requirements.txt \
		dev:requirements-dev.txt; do \
		$(BIN)/uv pip compile $(COMPILE) --group "$${pair%%:*}" -o "$${pair#*:}" >/dev/null; done

bench: install  ## the benchmarks of docs/measurements.md
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python "$$file"; done

install: $(INSTALLED)

# pip honours the machine's own settings (proxy, certificates, mirror), uv not all of them.
$(INSTALLED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'refused: Python 3.11 or newer is needed; do make PYTHON=/path/to/python3.11'; exit 2; }
	@echo 'Installing the tools into .venv (once, under a minute) ...'
	@$(PYTHON) -m venv .venv || \
		{ echo 'refused: no venv could be made; on Debian do apt install python3-venv'; exit 2; }
	@awk '/^[a-z]/ { keep = /^uv==/ } keep' requirements.lock > .venv/uv.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock || \
		$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	@touch $@

clean:  ## remove what make made
	@rm -rf .venv demo site .mypy_cache .ruff_cache .hypothesis
