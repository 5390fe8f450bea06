# Everything that a newcomer or CI runs. `make` alone lists the targets.

PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.setup-done

# The CDK's modules take five seconds to compile: what was compiled is kept, whatever the caller's
# environment says.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format typecheck pytest bench dist requirements clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1 \t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup: $(SETUP) ## Install everything into this folder: uv, Node, the CDK CLI, all from PyPI

$(SETUP): tools/bootstrap.py tools/uv-requirements.txt uv.lock pyproject.toml runtime/pyproject.toml tests/clients/kserve/uv.lock
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here: install Python 3.11 or newer, or name one, as in 'make setup PYTHON=python3.12'."; exit 1; }
	@$(PYTHON) tools/bootstrap.py
	@touch $@

demo: $(SETUP) ## Deploy app.py to an AWS emulator and ask it to read handwritten digits
	@$(BIN)/python models/digits/demo.py

test: lint ## Run every check: ruff, mypy, pytest
	@$(MAKE) --no-print-directory --jobs 2 typecheck pytest

lint: $(SETUP) ## Check style and formatting with ruff
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(SETUP) ## Mend style and formatting with ruff
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

typecheck: $(SETUP) ## Check types of both packages with mypy --strict
	$(BIN)/mypy

pytest: $(SETUP) ## Run the tests, end to end included
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest --numprocesses 3 --dist loadfile

bench: $(SETUP) ## Measure everything anew, side by side, into docs/benchmarks.md (an hour; needs wrk)
	$(BIN)/python -m bench

dist: $(SETUP) ## Build both wheels into dist/
	$(BIN)/uv build --all-packages --wheel --out-dir dist

requirements: $(SETUP) ## Export uv.lock to what an artifact installs, into runtime/requirements/
	$(BIN)/python tools/export_requirements.py

clean: ## Remove what was built and deployed; keep the set-up
	rm -rf dist cdk.out cdktf.out .cdk-inference .pytest_cache .mypy_cache .ruff_cache .hypothesis
