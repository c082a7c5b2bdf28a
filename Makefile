# make demo   sets up, and runs the main job on real text that needs no download
# make demo-images   likewise on images: a model of letters, from which one of digits with few labels goes on
# make demo-retrain   three days of a model: trained, left alone, trained on new data and promoted; then poisoned labels
# make test   sets up, and runs the tests

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet

.PHONY: setup demo demo-images demo-retrain images test test-containers test-environment test-faults sbom audit lint lock clean

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer was expected; none is on the PATH (make PYTHON=/path/to/python3)."; exit 1; }
	@echo "setting up $(VENV) (some minutes: torch is large)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes --no-deps --requirement requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	@$(BIN)/python examples/make_aws_operations.py
	@$(BIN)/graft run examples/aws-operations.yaml --json .graft/demo.json

demo-images: setup
	@$(BIN)/python examples/make_images.py
	@$(BIN)/graft run examples/glyphs.yaml
	@$(BIN)/graft run examples/digits.yaml --json .graft/demo-images.json

RETRAIN := $(BIN)/graft retrain examples/aws-retrain.yaml --root .graft/demo-retrain

demo-retrain: setup
	@rm -rf .graft/demo-retrain
	@printf '\nDay 1: the first data\n'
	@$(BIN)/python examples/make_days.py first
	@$(RETRAIN)
	@printf '\nDay 2: nothing new\n'
	@$(RETRAIN)
	@printf '\nDay 3: new data\n'
	@$(BIN)/python examples/make_days.py new
	@$(RETRAIN)
	@printf '\nDay 4: new data, whose labels somebody has mixed up\n'
	@$(BIN)/python examples/make_days.py poisoned
	@$(RETRAIN) --json .graft/demo-retrain/result.json
	@printf '\nWhat the registry tells\n'
	@$(BIN)/graft models show aws-retrain --root .graft/demo-retrain

# Files of tests side by side (tests/workers.py): on two cores three at a time, on many no more than memory is there for.
test: setup
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# What is broken on purpose: stores that fail, disks that are full, steps that are killed, models and data by strangers.
test-faults: setup
	@$(BIN)/python -m pytest --numprocesses 0 -p tests.faults.table -m '(case or faults) and not slow and not containers'

# What takes minutes: the registered model in a fresh environment made from its own requirements.
test-environment: setup
	@$(BIN)/python -m pytest -m slow

# Builds the images that the steps run in, with docker or podman.
#   make images PUSH=registry.example.com/team DEPLOYMENT=cluster.yaml   pushes them, and writes their digests into the file
#   BASE=python:3.12-slim@sha256:… make images                           starts from another Python
images:
	@$(PYTHON) images/build.py $(if $(PUSH),--push $(PUSH)) $(if $(DEPLOYMENT),--deployment $(DEPLOYMENT))

# What the images hold, as bills of materials in sbom/: scanners read them.
sbom:
	@$(PYTHON) images/sbom.py

# The lock against known faults, without a network: those that images/advisories.json tells, or an export of osv.dev.
#   ADVISORIES=all.zip make audit
audit: setup
	@$(BIN)/python images/audit.py $(if $(ADVISORIES),--advisories $(ADVISORIES))

# The images, the steps' tests inside of them, and whole runs with every step in its container.
test-containers: setup
	@$(BIN)/python images/build.py --test
	@$(BIN)/python -m pytest -m containers

lint: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

# Resolves the dependencies anew; uv is needed for this alone.
lock:
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --output-file requirements.lock

clean:
	rm -rf $(VENV) .graft .mypy_cache .pytest_cache .ruff_cache build *.egg-info
