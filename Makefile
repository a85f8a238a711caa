# Two commands set everything up: `make run` and `make test`. `make help` lists the rest.
# PYTHON=python3.12 picks the interpreter, ARGS="..." is handed on, WORKERS=8 tests with more processes than two.

PYTHON ?=
VENV ?= .venv
ARGS ?=
WORKERS ?= 2
BIN := $(VENV)/bin
# Tests start the relay some hundred times, so its bytecode is kept, also where the environment says otherwise.
# Who is done takes over tests from who is not, in stretches, so that what a file shares is mostly made once.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

# What runs what is compiled. The planted bugs are planted in modules, which no compiled class allows.
COMPILED := tests/unit/broker tests/unit/devices tests/unit/limits tests/unit/node tests/unit/protocol tests/unit/web \
	tests/unit/wire tests/unit/test_clock.py tests/properties tests/conformance tests/contract tests/threats tests/acceptance tests/simulation --ignore=tests/simulation/test_mutants.py

.DEFAULT_GOAL := help
.PHONY: help run demo test unit check fmt lint types bench curves simulate soak durability faults fuzz abuse wheel compile compiled pins clean server dev

help: ## list the commands
	@sed -nE 's/^([a-z]+):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

run: server ## start a relay for development on 127.0.0.1:8080, with all that is needed to try it
	@exec $(BIN)/relay serve --dev $(ARGS)

demo: server ## replay the recorded incident through a relay, live in the terminal
	@exec $(BIN)/relay demo $(ARGS)

test: dev ## run every test; installs what they need where it may
	@scripts/test-needs
	@$(PYTEST) $(ARGS)

unit: dev ## run the tests that need no outside program
	@$(PYTEST) tests/unit tests/properties $(ARGS)

check: lint types test ## all that CI holds: format, lint, types, tests

lint: dev ## format check and lint
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: dev ## strict types
	@$(BIN)/mypy

fmt: dev ## format, and mend what the linter can
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: dev ## measure the relay beside its yardsticks, into docs/performance.md: ARGS="--quick" for a first look
	@exec $(BIN)/python -m bench.table $(ARGS)

curves: dev ## draw what a chunk costs as streams, readers and sizes grow
	@exec $(BIN)/python -m bench.curves $(ARGS)

simulate: dev ## play the relay in a broken world on virtual time: SEEDS=20000, or SEED=n to see one
	@exec $(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),2000)) $(ARGS)

soak: dev ## hold a relay under churn and judge whether it stays flat: MINUTES=30, REDIS=1
	@exec $(BIN)/python -m bench.soak --minutes $(or $(MINUTES),30) $(if $(REDIS),--redis) $(ARGS)

durability: dev ## kill processes and count what an ACK was worth: KILLS=30, ONLY=scene
	@exec $(BIN)/python -m bench.durability --kills $(or $(KILLS),30) $(if $(ONLY),--only $(ONLY)) $(ARGS)

faults: dev ## break things under real processes: ONLY=name for one scenario, SHORT=1 as CI does, CHUNKS=3000000
	@scripts/test-needs
	@exec $(BIN)/python -m tests.faults $(ONLY) $(if $(SHORT),--short) $(if $(CHUNKS),--chunks $(CHUNKS)) $(if $(REPORT),--report $(REPORT)) $(ARGS)

fuzz: dev ## fuzz the parsers: SECONDS=60 in all, TARGET=name for one; --keep adds to the corpus
	@scripts/install $(VENV) fuzz
	@exec $(BIN)/python -m tests.fuzz $(TARGET) --seconds $(or $(SECONDS),60) $(ARGS)

abuse: dev ## a hundred streams under 1,000 slowloris, 1,000 idle bots and floods of pings
	@exec $(BIN)/python -m bench.abuse $(ARGS)

wheel: dev ## build the wheel into dist/
	@$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

compile: dev ## build a faster wheel into dist/, its busiest modules C, for this machine and Python
	@scripts/compile $(abspath $(BIN))/python

compiled: dev ## compile, and run the tests of what is compiled on it
	@scripts/test-needs
	@scripts/compile $(abspath $(BIN))/python
	@cd build/compiled && $(abspath $(BIN))/python -c 'from relay.cli import main; main()' --version | grep -F '(compiled)'
	@cd build/compiled && PYTHONPATH="$$PWD:$$PWD/sdk_py" $(subst $(BIN),$(abspath $(BIN)),$(PYTEST)) $(COMPILED) $(ARGS)

pins: dev ## take the newest versions that fit, and write them to constraints.txt
	@$(BIN)/python -m pip install --quiet --upgrade --upgrade-strategy eager -e '.[dev,fuzz]'
	@{ sed -n '/^#/p' constraints.txt; \
		$(BIN)/python -m pip freeze --quiet --exclude-editable --exclude setuptools | LC_ALL=C sort -f; \
	} >constraints.new && mv constraints.new constraints.txt

clean: ## remove the environment, the Node packages, builds and caches; databases stay
	@rm -rf $(VENV) dist build tests/js/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Both are looked at each time and do nothing where nothing changed (some 50 ms).
server:
	@scripts/install $(VENV) server $(PYTHON)

dev:
	@scripts/install $(VENV) dev $(PYTHON)
