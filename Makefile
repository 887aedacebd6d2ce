# One environment, made from pinned versions; every target makes what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ASSETS := query/stepwell_query/web/vendor/.filled
READY := $(STAMP) $(ASSETS)
# Where it is set, each of the hundreds of processes that the tests start would compile all libraries that it imports.
unexport PYTHONDONTWRITEBYTECODE
# What only tests need: a browser, and a cache of the broker's classes.
PREPARE_TESTS = $(BIN)/python tests/support/servers/chromium.py; PYTHONPATH=tests $(BIN)/python -m support.servers.broker_cache
# A file's tests run in one process, and files start in the order of `testpaths`, by which the longest come first.
DIST = --dist loadfile --no-loadscope-reorder
# Processes that tests run in, each with an engine of its own, and one broker for all; 0: in pytest's own process. More than
# a small machine has cores, since many tests wait.
WORKERS ?= 4

.DEFAULT_GOAL := help
.PHONY: help assets screenshot screenshots demo test test-long simulate mutants soak soak-events lint bench gate docs lock clean

help: ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Stepwell needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv==0.13.9'
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $(STAMP)

$(ASSETS): query/package-lock.json query/page_assets.py | $(STAMP)
	$(BIN)/python query/page_assets.py

assets: $(READY) ## the libraries that the page serves, from the npm registry

demo: $(READY) ## set up everything and train for real: four runs, a million steps
	$(BIN)/stepwell demo --dir .stepwell/demo $(ARGS)

test: $(READY) ## set up everything and run all tests
	@$(PREPARE_TESTS)
	$(BIN)/python -m pytest -n $(WORKERS) $(DIST) -m "not long" $(ARGS)

test-long: $(READY) ## the tests with new examples, and more of them; then fresh seeds: SEEDS=50
	@$(PREPARE_TESTS)
	$(BIN)/python -m pytest -n $(WORKERS) $(DIST) --hypothesis-profile long --timeout 1800 $(ARGS)
	$(MAKE) simulate SEEDS=$(or $(SEEDS),50)00
	$(MAKE) soak SEEDS=$(or $(SEEDS),50)

simulate: $(STAMP) ## ingestors, training processes and environment under seeded faults in virtual time: SEEDS=2000 FIRST=0
	PYTHONPATH=tests $(BIN)/python -m reliability.simulation --first $(or $(FIRST),0) --seeds $(or $(SEEDS),2000) $(ARGS)

mutants: $(STAMP) ## break the exactly-once machinery line by line, and see the tests notice
	PYTHONPATH=tests $(BIN)/python -m reliability.mutants $(ARGS)

soak-events: $(STAMP) ## random mutations of valid events against a real ingestor: make soak-events EVENTS=1000000 [SEED=1]
	PYTHONPATH=tests $(BIN)/python -m reliability.soak --events $(or $(EVENTS),1000000) $(if $(SEED),--seed $(SEED))

lint: $(READY) ## ruff, mypy --strict, the import contract, tsc for the page; words and links of the documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	PATH="$(CURDIR)/$(BIN):$$PATH" query/node_modules/.bin/tsc -p query
	PYTHONPATH=tests $(BIN)/python -m prose
	$(BIN)/zensical build --clean --strict
	PYTHONPATH=tests $(BIN)/python -m prose.site build/site

soak: $(STAMP) ## kill, pause and cut off real processes on fresh seeds, and change their environment: make soak SEEDS=50 [FIRST=1]
	PYTHONPATH=tests $(BIN)/python -m reliability.faults --seeds $(or $(SEEDS),10) $(if $(FIRST),--first $(FIRST)) $(ARGS)

bench: $(READY) ## the table of figures; ARGS="scan viewers" for the details of some, ARGS=peers for other libraries
	PYTHONPATH=tests $(BIN)/python -m bench $(ARGS)

gate: $(READY) ## fail if a ratio of processor times or of bytes is a tenth worse than recorded; ARGS=--record
	PYTHONPATH=tests $(BIN)/python -m bench.gate $(ARGS)

screenshot: $(READY) ## make the README's picture from the demo's page
	$(BIN)/python tests/browser/screenshot.py $(ARGS)

screenshots: $(READY) ## a gallery of the page's states, build/screenshots/gallery/index.html, and the pictures of docs/page.md
	@$(PREPARE_TESTS)
	$(BIN)/python -m pytest -p no:xdist -q -s tests/browser/gallery.py $(ARGS)

docs: $(STAMP) ## renew the tables of settings from the models, and build the site: build/site/index.html
	$(BIN)/python -m stepwell_deploy.settings_table README.md docs/settings.md
	$(BIN)/zensical build --clean --strict

lock: ## renew the pinned versions
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--no-header --extra test --extra lint pyproject.toml -o requirements.lock

clean: ## remove what the targets made
	rm -rf $(VENV) .cache .stepwell build dist query/node_modules query/stepwell_query/web/vendor .mypy_cache .pytest_cache .ruff_cache .hypothesis
