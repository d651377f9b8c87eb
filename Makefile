# make demo · make test · make check · make check-long · make bench · make notebooks
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
# What is installed beside the package; with `spark` its tests run too (450 MB, and Java).
EXTRAS ?= report,test
COMMA  := ,
STAMP  := $(VENV)/.installed-$(subst $(COMMA),-,$(EXTRAS))
# The lower bound of pyproject.toml.
OLDEST_DUCKDB := 1.5.0
OLDEST := build/duckdb-$(OLDEST_DUCKDB)

# Test files run two at a time, each file in one process: their fixtures are made once.
PARALLEL ?= -n 2 --dist loadfile

.PHONY: demo test test-oldest-duckdb check check-long bench notebooks install clean

# The stamp makes a second call start at once; a changed dependency list installs again.
install: $(STAMP)
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $(STAMP)

demo: install  ## the whole way on a simulated marketplace: logs to report
	$(BIN)/item2vec run pipelines/demo.toml

test: install  ## the test suite (the real logs join in when they lie beside the project)
	$(BIN)/python -m pytest -m "not long" $(PARALLEL)

test-oldest-duckdb: install  ## the SQL of events and sessions on the oldest DuckDB that the package allows
	test -d $(OLDEST) || { rm -rf $(OLDEST).part && $(PIP) install --quiet --no-deps --target $(OLDEST).part \
	  'duckdb==$(OLDEST_DUCKDB)' && mv $(OLDEST).part $(OLDEST); }
	PYTHONPATH=$(OLDEST) $(BIN)/python -c "import duckdb; assert duckdb.__version__ == '$(OLDEST_DUCKDB)'"
	PYTHONPATH=$(OLDEST) $(BIN)/python -m pytest tests/events tests/sessions -m "not long and not real_data" \
	  --ignore tests/sessions/test_sessions_spark.py --ignore tests/events/test_events_spark.py

check: install  ## style, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check-long: install  ## campaigns too long for every commit; exit code 5 means there are none
	$(BIN)/python -m pytest -m long -n 2 || test $$? -eq 5

bench: install  ## speed against the named peers, printed as a table
	$(BIN)/python -m benchmarks

notebooks: install  ## run the notebooks and write what readers see beside them; NOTEBOOKS="1 3" runs some
	$(BIN)/python notebooks/execute.py $(NOTEBOOKS)

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
