# Everything that needs more than one command. `setup` makes a virtual environment with the locked, hashed packages.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# The type checker and what it alone needs.
TYPES := .venv/types
CANDLES ?=
DEMO_OPTIONS := $(if $(CANDLES),--candles $(CANDLES))

# Hundreds of processes import the same modules: compile them once, even where the environment disables it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo check test tests units lint style types sql conventions bench drill rehearse docs screenshot lock clean

setup: $(STAMP)

$(STAMP): requirements.lock requirements-types.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/python -m uv pip sync --quiet --require-hashes --compile-bytecode --python $(BIN)/python requirements.lock
	$(BIN)/python -m uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	$(BIN)/python -m uv pip sync --quiet --require-hashes --target $(TYPES) --python $(BIN)/python requirements-types.lock
	touch $(STAMP)

# Through the launcher: when make is killed, the demo dies with it and holds neither ports nor the warehouse.
demo: setup
	$(BIN)/python -m flows.processes.launcher $(BIN)/candleworks demo $(DEMO_OPTIONS)

# Two tests at a time; tests of one file, and tests that share a built warehouse, run in one process (tests/kinds.py).
PARALLEL := -n 2 --no-loadscope-reorder

# Targets at the same time on two cores; output is grouped by target, and a failure does not hide the others.
CONCURRENTLY := $(MAKE) --no-print-directory --jobs 4 --keep-going --output-sync=target

# The quick check after an edit: lint, types, and the tests that start no process, no dbt and no TensorFlow.
check: setup
	$(CONCURRENTLY) types sql conventions style units

# Everything. The tests take long, so they run at the same time as the lint and show their progress.
test: setup
	$(MAKE) --no-print-directory --jobs 2 --keep-going lint tests

tests: setup
	$(BIN)/python -m pytest $(PARALLEL)

units: setup
	$(BIN)/python -m pytest $(PARALLEL) -m unit

lint: setup
	$(CONCURRENTLY) types sql conventions style

style: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup
	PYTHONPATH=$(TYPES) $(BIN)/python -m mypy

# What dbt-bouncer and sqlfluff found in order stays so until a file or folder of the dbt project changes.
PASSED := .dbt_parsed
DBT_FILES := $(shell find dbt \( -name target -o -name logs -o -name __pycache__ \) -prune -o -print)

sql: setup $(PASSED)/sql

$(PASSED)/sql: $(STAMP) $(DBT_FILES) | $(PASSED)
	$(BIN)/sqlfluff lint --config dbt/.sqlfluff dbt/models dbt/tests
	touch $@

# The conventions of the dbt project, checked on its manifest. Nothing is built, and no home is touched. The output is
# outside dbt/, because tests read every file there at the same time.
conventions: setup $(PASSED)/conventions

$(PASSED)/conventions: $(STAMP) $(DBT_FILES) | $(PASSED)
	cd dbt && ../$(BIN)/dbt --quiet parse --target-path ../$(PASSED) --log-path ../$(PASSED)
	$(BIN)/dbt-bouncer run --show-all-failures --config-file dbt/dbt-bouncer.yml
	touch $@

$(PASSED):
	mkdir -p $@

bench: setup
	$(BIN)/python -m tests.benchmarks $(BENCH)

# Fault injection: kill -9 at random moments (leases, Prefect, dbt); 20,000 exchanges with arbitrary answers; each dbt
# model edited and built with each selection; each kind of file damaged and read by each command. SEED= repeats a run, DRILL= chooses one drill.
drill: setup
	$(BIN)/python -m tests.drill $(SEED) $(DRILL)

# Days of live operation in replayed time, with faults. REHEARSE= gives options, such as "--timeframe 1h --days 2".
rehearse: setup
	$(BIN)/python -m flows.processes.launcher $(BIN)/candleworks rehearse $(if $(CANDLES),--candles $(CANDLES)) $(REHEARSE)

docs: setup
	$(BIN)/candleworks docs

# The picture of the README: the page Forecasts over the home of `make demo`.
screenshot: setup
	$(BIN)/python -m tests.browser

# The lock holds versions and hashes, no address: any index that has these files will do.
COMPILE := $(BIN)/python -m uv pip compile --universal --generate-hashes --no-emit-index-url --python-version 3.11 --quiet

lock: setup
	$(COMPILE) --extra dev --extra s3 --output-file requirements.lock pyproject.toml
	$(COMPILE) --group types --output-file requirements-types.lock

clean:
	rm -rf .venv .candleworks .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .dbt_parsed
