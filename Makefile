# Everything runs in .venv, made from pyproject.toml and the pinned constraints.txt. Nothing is needed before but
# Python 3.11 (or later: make PYTHON=python3.12), make and this clone; for the tests also PostgreSQL's server (postgres).
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
FLOWER := .venv-flower
ACRO := .venv-acro
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq --constraint constraints.txt

# A test that starts a new interpreter, as hundreds do, finds modules compiled, whatever the caller's environment says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-long lint types wire bench-join bench-many bench-star bench-rep3 bench-peers bench-psi bench-check bench-tpch bench-freeze bench-aggregate bench-concurrent postgres clean help

help:
	@sed -n 's/^##//p' $(MAKEFILE_LIST)

$(VENV)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	@echo "Making the environment ..."
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/base: $(VENV)/python pyproject.toml constraints.txt
	@echo "Installing pets and what it needs (a minute or two, once) ..."
	@PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(PIP) --editable .
	@echo "Compiling the kernels (a minute, once) ..."
	@$(BIN)/python -m pets.party.warm
	@$(BIN)/python -c "from matplotlib import font_manager"
	@touch $@

$(VENV)/test: $(VENV)/base
	@echo "Installing what the tests need (once) ..."
	@PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(PIP) --editable ".[test]"
	@touch $@

$(ACRO)/done: tests/acro/requirements.txt
	@echo "Making the environment of ACRO, against which disclosure control is tested (half a minute, once) ..."
	@$(PYTHON) -m venv $(ACRO)
	@$(ACRO)/bin/python -m pip --disable-pip-version-check install -qq --no-deps --requirement $<
	@touch $@

## make demo        two organisations, a helper, an approved joint query: from records to receipts in a minute
demo: $(VENV)/base
	@$(BIN)/pets demo

# Kernels are compiled beside the check of types, once: workers that start together would all compile the same.
## make test        style, types, and all tests; under ten minutes on two cores
test: $(VENV)/test $(ACRO)/done postgres
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m pets.party.warm all & warm=$$!; $(BIN)/mypy; types=$$?; \
		$(BIN)/python -m compileall -q -x 'test_\w+\.py' pets tests benchmarks; wait $$warm && exit $$types
	@$(BIN)/python -m pytest -m "not long" --numprocesses 3 --dist loadscope --no-loadscope-reorder

## make test-long   the long suites: fuzz, statistics, large sizes
test-long: $(VENV)/test $(ACRO)/done postgres
	@$(BIN)/python -m pytest -m long --timeout 3600

## make bench-join  the join benchmark: three server processes over loopback (see benchmarks/join.py)
bench-join: $(VENV)/test
	@$(BIN)/python -m benchmarks.join

## make bench-many  a join of tables that 14 and 32 holders have parts of: three servers that hold none, over loopback
bench-many: $(VENV)/test
	@$(BIN)/python -m benchmarks.many
	@$(BIN)/python -m benchmarks.many --size 1000000

## make bench-star  a join of five tables: six server processes over loopback (see benchmarks/star.py)
bench-star: $(VENV)/test
	@$(BIN)/python -m benchmarks.star --tables 5

## make bench-check  how long the check takes, on the corpus, on plans that grow, and on hostile SQL
bench-check: $(VENV)/test
	@$(BIN)/python -m benchmarks.check

## make bench-rep3  operations on shares of three parties: three server processes over loopback
bench-rep3: $(VENV)/test
	@$(BIN)/python -m benchmarks.rep3

$(PEERS)/done: benchmarks/peers/requirements.txt
	@echo "Making the peers' environment (a gigabyte, once) ..."
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check install -qq --only-binary :all: --requirement $<
	@touch $@

## make bench-peers  the same operations beside SPU and MPyC, which get an environment of their own
bench-peers: $(VENV)/test
	@$(MAKE) --no-print-directory $(PEERS)/done || echo "Peers could not be installed." >&2
	@$(BIN)/python -m benchmarks.peers

## make bench-psi   what ids two parties have in common, and how many, beside SPU and OpenMined PSI: two server processes over loopback
bench-psi: $(VENV)/test
	@$(MAKE) --no-print-directory $(PEERS)/done || echo "Peers could not be installed." >&2
	@$(BIN)/python -m benchmarks.psi

$(FLOWER)/done: benchmarks/peers/requirements-flower.txt
	@echo "Making Flower's environment (a minute, once) ..."
	@$(PYTHON) -m venv $(FLOWER)
	@$(FLOWER)/bin/python -m pip --disable-pip-version-check install -qq --only-binary :all: --requirement $<
	@touch $@

## make bench-aggregate  sums of the vectors of 1,000 parties: three server processes over loopback, beside MPyC and Flower
bench-aggregate: $(VENV)/test
	@$(MAKE) --no-print-directory $(PEERS)/done || echo "Peers could not be installed." >&2
	@$(MAKE) --no-print-directory $(FLOWER)/done || echo "Flower could not be installed." >&2
	@$(BIN)/python -m benchmarks.aggregate
	@$(BIN)/python -m benchmarks.aggregate --packed --size 500000 --alone

## make bench-concurrent  a hundred small sums at once on two servers over loopback, and one alone
bench-concurrent: $(VENV)/test
	@$(BIN)/python -m benchmarks.concurrent

## make bench-tpch  two queries of TPC-H between two organisations, at scale factor 0.1
bench-tpch: $(VENV)/test
	@$(PIP) --editable ".[bench]"
	@$(BIN)/python -m benchmarks.tpch
	@$(BIN)/python -m benchmarks.tpch --mode b

## make bench-freeze  freezing and reading a holder's records, from files and from a PostgreSQL server of its own
bench-freeze: $(VENV)/test postgres
	@$(BIN)/python -m benchmarks.freeze --size 10000000 --source parquet
	@$(BIN)/python -m benchmarks.freeze --size 1000000 --source postgres

## make wire        generate pets/wire from proto/ again
wire: $(VENV)/test
	@$(BIN)/python -m pets.wire

# Tests start a PostgreSQL server of their own, so its programs have to be there.
postgres:
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || .ci/postgres

clean:
	rm -rf $(VENV) $(PEERS) $(FLOWER) $(ACRO) build dist out
