# Works in a fresh clone with nothing but Python 3.11 or newer, pip and make.
# pip's own settings apply; e.g. the CPU build of PyTorch (200 MB instead of several GB):
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make run

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
STORE := sqlite:///$(CURDIR)/data/mlflow/mlflow.db

# No library reports usage: Kedro and kedro-viz take any value, MLflow only `true`.
export DO_NOT_TRACK := true
export KEDRO_DISABLE_TELEMETRY := true
export MLFLOW_DISABLE_TELEMETRY := true

.DEFAULT_GOAL := help
.PHONY: help setup run test test-servers test-all check viz mlflow docs notebooks lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## create .venv with the locked versions

# Made anew when the dependencies change. The stamp comes last, so that an installation that
# broke off is not taken for a good one.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("expected Python 3.11 or newer, got " + sys.version.split()[0] + "; name one: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

run: $(READY) ## raw to report on the embedded sample, a few minutes
	$(BIN)/kedro run

test test-servers test-all: export OMP_NUM_THREADS := 1  # a process per core

test: $(READY) ## fast tests
	$(BIN)/pytest -n logical --dist loadfile

test-servers: $(READY) ## against real servers, browsers and clusters; what is not there is skipped
	$(BIN)/pytest -n logical --dist loadfile -m server -rs $$(grep -rl mark.server tests)

test-all: $(READY) ## all tests
	$(BIN)/pytest -n logical --dist loadfile -m 'slow or not slow'

check: $(READY) ## lint, formatting, types, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

viz: $(READY) ## the pipelines as a graph in the browser
	$(BIN)/kedro viz run

mlflow: $(READY) ## the runs side by side in the browser
	@echo 'Runs             http://127.0.0.1:5000/#/experiments/1?workflowType=machine_learning'
	$(BIN)/mlflow ui --workers 1 --backend-store-uri '$(STORE)'

# The static kedro-viz holds the sample alone, with pictures where `make run` has made it. Its build
# reports a broken pipeline without failing, and writes down where the project lies.
docs: $(READY) ## the documentation as a site: open site/index.html
	$(BIN)/python docs/hooks/generated.py
	$(BIN)/mkdocs build --strict
	rm -rf build/api build/assets build/index.html
	KEDRO_ENV=base $(BIN)/kedro viz build --include-previews
	test -s build/api/main
	find build/api -type f -exec sed -i.bak 's#$(CURDIR)/##g' {} + && find build/api -name '*.bak' -delete
	mkdir -p site/viz && cp -r build/api build/assets build/index.html build/404.html build/favicon.ico site/viz/
	@echo 'Documentation    $(CURDIR)/site/index.html'
	@echo '                 with the pipelines: $(BIN)/python -m http.server -d site -b 127.0.0.1 8000'

notebooks: $(READY) ## look at volumes and comparisons in the browser
	test -x $(BIN)/jupyter-lab || \
	  $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[notebooks]'
	$(BIN)/jupyter lab notebooks

# Resolves anew from pyproject.toml; the local tag of a torch build is dropped (any build will do).
lock: ## write constraints.txt from the newest versions that fit
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet '.[dev,notebooks]'
	{ echo '# Exact versions for `pip install -c`; written by `make lock`, never by hand.'; \
	  build/lock/bin/python -m pip freeze --all --exclude pip --exclude slicefill \
	  | sed 's/+[a-z0-9]*$$//'; } > constraints.txt
