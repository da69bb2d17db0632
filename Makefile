# Two commands are all a newcomer needs: make demo, make test. Both set up what they need first.

PYTHON ?= python3
VENV ?= .venv
# Locks to install on top, and arguments for pytest: make test EXTRA=requirements/kv260.txt ARGS="-k rail"
EXTRA ?=
ARGS ?=

# Which end of the dependency range fits this interpreter, and what the environment is tied to: version and place.
FACTS := $(shell $(PYTHON) -c 'import os, sys, zlib; v = sys.version_info; print("board" if v < (3, 13) else "current", \
	"%d.%d.%d-%08x" % (v[0], v[1], v[2], zlib.crc32((sys.base_prefix + os.getcwd()).encode())))' 2>/dev/null)
LOCK ?= requirements/$(or $(word 1,$(FACTS)),board).txt
LOCKS := $(LOCK) $(EXTRA)
empty :=
READY := $(VENV)/.ready-$(word 2,$(FACTS))$(subst $(empty) $(empty),,$(patsubst %,-%,$(basename $(notdir $(LOCKS)))))
COMPILED := hatch_build.py $(shell find daemon drivers -name '*.[ch]')
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(VENV)/bin/python -m pip --quiet install

.PHONY: help demo test test-long bench pictures lint format kv260 lock clean system system-test system-bench

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## a whole shoot on the simulated rig, with its results in demo/
	$(VENV)/bin/focusrail --config config/focusrail.yaml --data demo shoot config/recipes/demo.yaml

test: system-test $(READY) ## all tests
	$(VENV)/bin/pytest $(ARGS)

pictures: demo ## the pictures of README.md and docs, from the demo's newest shoot
	$(VENV)/bin/python docs/make_pictures.py demo

test-long: $(READY) ## an hour: a thousand kills, and the memory of 300 frames
	FOCUSRAIL_KILLS=1000 FOCUSRAIL_MEMORY_FRAMES=300 $(VENV)/bin/pytest tests/crash tests/integration/test_memory.py $(ARGS)

bench: system-bench $(READY) ## hours: focusrail and its peers on the same stacks, by size, quality and cost (ARGS="--scenes demo")
	$(VENV)/bin/python -m benchmarks.compare --size 2 24 --out benchmarks/results $(ARGS)

lint: $(READY) ## the gates: ruff, mypy, import-linter
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(READY) ## let ruff format and fix what it can
	$(VENV)/bin/ruff format
	$(VENV)/bin/ruff check --fix

kv260: ## the environment for a KV260, with pynq (Python 3.10 to 3.12)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 13) and "focusrail: pynq needs numpy 1, and so Python 3.10 to 3.12; name one: make kv260 PYTHON=python3.12")'
	@sh requirements/system.sh $(PYTHON) libmagic
	@$(MAKE) --no-print-directory install EXTRA=requirements/kv260.txt

.PHONY: kv260-faults
kv260-faults: kv260 ## half an hour: every fault of the emulated KV260 at every tile of 24 megapixels
	$(VENV)/bin/python -m benchmarks.kv260_faults $(ARGS)

.PHONY: install
install: $(READY) ## only set up the environment

system:
	@sh requirements/system.sh $(PYTHON)

# ffmpeg makes the video that the OpenCV camera's test plays back.
system-test:
	@sh requirements/system.sh $(PYTHON) ffmpeg

# What the benchmark compares with and PyPI does not have.
system-bench:
	@sh requirements/system.sh $(PYTHON) enfuse align_image_stack

# Without a file of this name the environment is new, or was made by another interpreter, elsewhere, or from other
# locks: start afresh. With an older one, pip only has to bring it up to date.
$(READY): $(LOCKS) pyproject.toml $(COMPILED) | system
	@test -e $@ || $(PYTHON) -m venv --clear $(VENV)
	@echo "focusrail: installing $(LOCKS) into $(VENV) (150 MB the first time)"
	@for lock in $(LOCKS); do $(PIP) --require-hashes --no-build-isolation --requirement $$lock || { \
		echo "focusrail: pip could not install $$lock, see above; the first make needs the network," \
			"or PIP_INDEX_URL naming a mirror that can be reached" >&2; exit 1; }; done
	@$(PIP) --no-deps --no-index --no-build-isolation --editable .
	@touch $@

# The locks name no index and no host. Pins stay as they are unless they must change; to renew them: make lock UPGRADE=1
UV := .venv-lock/bin/uv
COMPILE = $(UV) --no-config pip compile --quiet --universal --python-version 3.10 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

lock: $(UV) ## write requirements/*.txt anew from pyproject.toml and requirements/*.in
	$(COMPILE) --extra test --extra lint pyproject.toml requirements/board.in --output-file requirements/board.txt
	$(COMPILE) --extra test --extra lint pyproject.toml requirements/current.in --output-file requirements/current.txt
	$(COMPILE) --constraint requirements/board.txt requirements/kv260.in --output-file requirements/kv260.txt
	$(COMPILE) --constraint requirements/board.txt requirements/kv260-image.in --output-file requirements/kv260-image.txt

$(UV): | system
	@$(PYTHON) -m venv --clear .venv-lock
	@.venv-lock/bin/python -m pip --quiet install uv==0.13.9

clean: ## remove the environments, caches and the demo's results (never a data folder of your own)
	rm -rf .venv .venv-* demo dist build .bench .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find daemon drivers -name '*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
