# `make` alone lists the targets. The first target that needs tools installs them into .venv.
PYTHON ?= python3
# The tests that `make test` runs: `make test TESTS=tests/unit` is one tier.
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

# Outside the tree, because cookiecutter would copy caches in the engine's folders.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.venv/cache/python
export RUFF_CACHE_DIR := $(CURDIR)/.venv/cache/ruff
export MYPY_CACHE_DIR := $(CURDIR)/.venv/cache/mypy
# Where this is set, nothing is cached, and each start of Python takes three times as long.
unexport PYTHONDONTWRITEBYTECODE

COMPILE := --quiet --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links \
	--custom-compile-command 'make lock' $(ARGS)

.PHONY: help demo test soak lint types format docs reference hooks lock bench install clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*##/\1\t/p' Makefile | expand -t 10

demo: install  ## generate HelloWorld in demo/ and run its jobs on this machine
	@rm -rf demo
	@$(BIN)/cookiecutter . --no-input --default-config --output-dir demo
	@$(MAKE) -C $(IMPLEMENTATION) local PYTHON=$(BIN)/python ARGS=
	@cd $(IMPLEMENTATION) && find local-output -type f | sort | while read -r file; do \
		echo; echo "$(IMPLEMENTATION)/$$file:"; cat "$$file"; done
	@echo; echo "All of this is in $(IMPLEMENTATION); its README.md describes what to try next."

test: install  ## run every test that this machine can run; others are reported with the reason
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS) $(TESTS)

soak: install  ## 2,000 jobs while workers are killed, stopped and told to end, with faults on every call
	@DS_SOAK=2000 $(BIN)/python -m pytest $(ARGS) tests/emulator/test_soak.py

lint: install  ## run ruff, its formatter, shellcheck and hadolint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@git ls-files -z .ci/run '*.sh' | xargs -0 $(BIN)/shellcheck
	@$(BIN)/hadolint '$(ENGINE)/ds/worker/Dockerfile'

types: install  ## run mypy --strict
	@$(BIN)/mypy '$(ENGINE)/ds' '$(ENGINE)/run.py' '$(ENGINE)/setup_AWS.py' '$(ENGINE)/tests' \
		benchmarks hooks scripts

format: install  ## let ruff format and fix the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: install  ## build the site into site/; a broken link is an error
	@# Not --quiet, which silences --strict too.
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

reference: install  ## write docs/settings.md and docs/roles.md from the engine's tables
	@$(BIN)/python scripts/reference.py

hooks: install  ## write hooks/pre_gen_project.py from the engine's modules
	@$(BIN)/python hooks/build.py

lock: install  ## pin the versions of all packages; `make lock ARGS=--upgrade` takes newer ones
	@$(BIN)/uv pip compile $(COMPILE) --generate-hashes --group dev pyproject.toml -o requirements.lock
	@cd '$(ENGINE)' && $(BIN)/uv pip compile $(COMPILE) --generate-hashes --group worker \
		-o ds/worker/requirements.txt >/dev/null
	@cd '$(ENGINE)' && $(BIN)/uv pip compile $(COMPILE) --no-header --no-annotate --group control \
		-o requirements.txt >/dev/null

bench: install  ## run the benchmarks of docs/measurements.md
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python "$$file"; done

install: $(INSTALLED)

# pip uses all settings of the machine (proxy, certificates, mirror); uv does not.
$(INSTALLED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is required; run make PYTHON=/path/to/python3.11'; exit 2; }
	@echo 'Installing the tools into .venv (once, under a minute) ...'
	@$(PYTHON) -m venv .venv || \
		{ echo '.venv cannot be created; on Debian, run apt install python3-venv'; exit 2; }
	@awk '/^[a-z]/ { keep = /^uv==/ } keep' requirements.lock > .venv/uv.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock || \
		$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	@touch $@

clean:  ## remove everything that make created
	@rm -rf .venv demo site .mypy_cache .ruff_cache .hypothesis
