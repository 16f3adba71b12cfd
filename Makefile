# make repro: BalanceMix on the default data, from nothing to the table. make test: lint, types, tests. make help: all.
PYTHON ?= python3
# Further arguments for pip, e.g. make repro PIP_ARGUMENTS="--index-url https://download.pytorch.org/whl/cpu"
PIP_ARGUMENTS ?=

BIN := .venv/bin
INSTALLED := .venv/.installed

export DVC_NO_ANALYTICS = 1
export MLFLOW_DISABLE_TELEMETRY = true
export PREFECT_SERVER_ANALYTICS_ENABLED = false
export DO_NOT_TRACK = 1

.DEFAULT_GOAL := help
.PHONY: help install repro compare check runs test mypy pytest test-fast test-all clean-runs

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

install: $(INSTALLED) ## make .venv with all that bmix needs

repro: $(INSTALLED) ## run what is not up to date of the pipeline, show the result
	@$(BIN)/bmix repro

compare: $(INSTALLED) ## the recipes bce, mixup and balancemix on the same data, side by side
	@$(BIN)/bmix compare

check: $(INSTALLED) ## check params.yaml and the data, run nothing
	@$(BIN)/bmix check

runs: $(INSTALLED) ## list the runs with edited params or a name, and their results
	@$(BIN)/bmix runs

# The tests start hundreds of programs: what one has compiled, the next reads, whatever the environment says.
test test-fast test-all pytest: export PYTHONDONTWRITEBYTECODE =

test: $(INSTALLED) ## lint, types, tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@$(MAKE) --no-print-directory --jobs 2 mypy pytest || { echo "error: types or tests failed, see above" >&2; exit 1; }

mypy: $(INSTALLED)
	$(BIN)/mypy

pytest: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup

test-fast: $(INSTALLED) ## the tests that are quick: no pipeline, no training, no other programs
	$(BIN)/python -m pytest --numprocesses 2 -m "not pipeline and not real_data and not slow"

test-all: $(INSTALLED) ## make test, and the tests that repeat it for other data: half an hour or more
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup --exhaustive

clean-runs: ## remove the copies of the project that runs with edited params made
	rm -rf .bmix/runs

$(INSTALLED): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "error: no $(PYTHON) found; name a Python of 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is $$($(PYTHON) --version 2>&1), bmix needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(PIP_ARGUMENTS) --constraint constraints.txt --editable '.[dev]'
	@touch $@
