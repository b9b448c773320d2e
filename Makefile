PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Test processes: one a core where memory allows it, about 3 GB each.
JOBS ?= 2
PYTEST := -m pytest --numprocesses $(JOBS) --dist worksteal
# Lightning and transformers take longer to import than their tests to run.
FAST := -m 'not slow' --ignore tests/integrations

.PHONY: install hooks demo test test-all test-numpy test-lowest test-newest wheel fuzz \
	lint types bench rivals clean

install: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "lilnetx needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $(STAMP)

# Lint and types before every commit.
hooks: install
	$(BIN)/pre-commit install

demo: install
	$(BIN)/lilnetx demo

test: install
	$(BIN)/python $(PYTEST) $(FAST)

test-all: install
	$(BIN)/python $(PYTEST)

# The container alone, as on a device that has neither torch nor constriction, with the
# oldest numpy that this Python can have.
NUMPY := .venv-numpy
test-numpy:
	test -x $(NUMPY)/bin/pytest || { $(PYTHON) -m venv $(NUMPY) \
		&& { $(NUMPY)/bin/python -m pip install --quiet 'numpy<2' pytest hypothesis \
		|| $(NUMPY)/bin/python -m pip install --quiet numpy pytest hypothesis; }; }
	! $(NUMPY)/bin/python -c 'import constriction' 2>/dev/null
	PYTHONPATH=formats $(NUMPY)/bin/python -m pytest tests/format

# The oldest release of each package that pyproject.toml allows: needs Python 3.11.
LOWEST := .venv-lowest
test-lowest:
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m tests.lowest > $(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m pip install --quiet -c $(LOWEST)/lowest.txt -e '.[test]'
	$(LOWEST)/bin/python $(PYTEST) $(FAST)

# The newest release of each.
NEWEST := .venv-newest
test-newest:
	test -x $(NEWEST)/bin/python || $(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager \
		-e '.[test]'
	$(NEWEST)/bin/python $(PYTEST) $(FAST)

# What users install: built, installed where the clone is not on the path, and tried.
WHEEL := .venv-wheel
wheel: install
	rm -rf dist $(WHEEL)
	$(BIN)/python -m build --outdir dist
	$(PYTHON) -m venv $(WHEEL)
	$(WHEEL)/bin/python -m pip install --quiet dist/*.whl
	cd dist && ../$(WHEEL)/bin/lilnetx --version && ../$(WHEEL)/bin/lilnetx demo

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
	$(BIN)/python -m tests.bench.headers
	$(BIN)/python -m tests.bench.commands

# NNCodec, ZipNN and zstd for tests.bench.compressors. NNCodec wants numpy < 2 and is
# compiled; what else it lists is not needed in order to code weights.
RIVALS := .venv-rivals
rivals:
	test -x $(RIVALS)/bin/python || $(PYTHON) -m venv $(RIVALS)
	$(RIVALS)/bin/python -m pip install --quiet 'numpy<2' torch safetensors tqdm zstandard
	$(RIVALS)/bin/python -m pip install --quiet --no-deps zipnn nncodec==2.1.3

clean:
	rm -rf .venv .venv-* dist
