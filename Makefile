PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test test-numpy fuzz lint types bench clean

install: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "lilnetx needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $(STAMP)

demo: install
	$(BIN)/lilnetx demo

test: install
	$(BIN)/python -m pytest

# The container alone, as on a device that has neither torch nor constriction, with the
# oldest numpy that this Python can have.
NUMPY := .venv-numpy
test-numpy:
	test -x $(NUMPY)/bin/pytest || { $(PYTHON) -m venv $(NUMPY) \
		&& { $(NUMPY)/bin/python -m pip install --quiet 'numpy<2' pytest hypothesis \
		|| $(NUMPY)/bin/python -m pip install --quiet numpy pytest hypothesis; }; }
	! $(NUMPY)/bin/python -c 'import constriction' 2>/dev/null
	PYTHONPATH=formats $(NUMPY)/bin/python -m pytest tests/format

SECONDS ?= 60
fuzz: install
	$(BIN)/python -m tests.format.fuzz $(SECONDS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

bench: install
	$(BIN)/python -m tests.bench.step
	$(BIN)/python -m tests.bench.container
	$(BIN)/python -m tests.bench.commands

clean:
	rm -rf .venv .venv-* dist
