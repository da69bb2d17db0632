# Two commands are all a newcomer needs: make demo, make test. Both set up what they need first.

PYTHON ?= python3
VENV ?= .venv
# Arguments for pytest: make test ARGS="-k rail"
ARGS ?=

# Which end of the dependency range fits this interpreter (on a KV260: what fits its image), and what the environment is
# tied to: version and place.
FACTS := $(shell $(PYTHON) -c 'import os, sys, zlib; v = sys.version_info; print("current" if v >= (3, 13) else \
	"kv260-image" if os.path.isdir("/usr/local/share/pynq-venv") else "board", \
	"%d.%d.%d-%08x" % (v[0], v[1], v[2], zlib.crc32((sys.base_prefix + os.getcwd()).encode())))' 2>/dev/null)
LOCK ?= requirements/$(or $(word 1,$(FACTS)),board).txt
READY := $(VENV)/.ready-$(word 2,$(FACTS))-$(basename $(notdir $(LOCK)))
COMPILED := hatch_build.py $(shell find daemon drivers -name '*.[ch]')
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(VENV)/bin/python -m pip --quiet install

.PHONY: help demo demo-kv260 test test-long kills fuzz-api bench-hostile bench pictures lint format lock clean system system-test system-bench

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## a whole shoot on the simulated rig, with its results in demo/
	$(VENV)/bin/focusrail --config config/focusrail.yaml --data demo shoot config/recipes/demo.yaml

# The service and the shoot are two processes, as on a board; only that the service has an emulated one.
EMULATED := config/rigs/kv260-emulated.yaml
demo-kv260: $(READY) ## the same, with the focus measure of an emulated KV260 by way of the FPGA's service
	$(if $(LIBRARIES),,$(error pynq needs numpy 1, and so Python 3.10 to 3.12; name one: make $@ PYTHON=python3.12))
	@rm -f demo/fpga/socket; $(VENV)/bin/focusrail --config $(EMULATED) fpga serve \
		--device focusrail_drivers.accelerators.kv260_emulator.device & service=$$!; \
	trap 'kill $$service 2>/dev/null; wait $$service' EXIT; \
	until [ -S demo/fpga/socket ]; do kill -0 $$service || exit 1; sleep 0.2; done; \
	$(VENV)/bin/focusrail --config $(EMULATED) --data demo shoot config/recipes/demo.yaml

test: system-test $(READY) ## all tests
	$(VENV)/bin/pytest $(ARGS)

pictures: demo ## the pictures of README.md and docs, from the demo's newest shoot; all screens of the page in demo/screens
	$(VENV)/bin/python docs/make_pictures.py demo
	$(VENV)/bin/python docs/make_screens.py demo/screens

test-long: $(READY) ## minutes: the memory of 300 frames
	FOCUSRAIL_MEMORY_FRAMES=300 $(VENV)/bin/pytest tests/integration/test_memory.py $(ARGS)

kills: $(READY) ## an hour: 3,000 times SIGKILL while it shoots, stacks, publishes and resumes
	FOCUSRAIL_KILLS=3000 $(VENV)/bin/pytest tests/crash/test_kills.py $(ARGS)

# What generates the requests is heavy, and stays out of the locks.
fuzz-api: $(READY) .venv-fuzz/bin/schemathesis ## minutes: 20,000 generated requests and 100,000 paths against the API
	FOCUSRAIL_PATHS=100000 $(VENV)/bin/pytest tests/integration/test_api_paths.py --timeout=900
	$(VENV)/bin/python tests/fuzz/api.py .venv-fuzz/bin/schemathesis $(ARGS)

.PHONY: fuzz-api-short
fuzz-api-short: $(READY) .venv-fuzz/bin/schemathesis
	$(VENV)/bin/python tests/fuzz/api.py .venv-fuzz/bin/schemathesis --examples 5 --once

.venv-fuzz/bin/schemathesis: | system
	@$(PYTHON) -m venv --clear .venv-fuzz
	@PIP_DISABLE_PIP_VERSION_CHECK=1 .venv-fuzz/bin/python -m pip --quiet install schemathesis==4.32.5

bench-hostile: $(READY) ## a minute: a shoot beside 50 hostile clients
	$(VENV)/bin/python -m benchmarks.hostile $(ARGS)

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

.PHONY: kv260-faults
kv260-faults: $(READY) ## half an hour: every fault of the emulated KV260 at every tile of 24 megapixels
	$(VENV)/bin/python -m benchmarks.kv260_faults $(ARGS)

.PHONY: environment install uninstall try-install
environment: $(READY) ## only set up the environment for working on focusrail
	@:

install: $(if $(DESTDIR),,system) ## as root: install focusrail as a service, or bring it up to date (docs/install.md)
	@DESTDIR="$(DESTDIR)" sh systemd/install.sh install $(PYTHON) $(LOCK)

uninstall: ## as root: take the service away again; data and edited configuration stay
	@DESTDIR="$(DESTDIR)" sh systemd/install.sh uninstall

try-install: ## as root, minutes: install on a fresh Debian under a real systemd, shoot, kill it, upgrade, remove it
	PYTHONPATH=tests $(PYTHON) -m system.try_install $(ARGS)

# pynq, which both locks for the board hold, needs libmagic.
LIBRARIES := $(if $(filter %/current.txt,$(LOCK)),,libmagic)

system:
	@sh requirements/system.sh $(PYTHON) $(LIBRARIES)

# ffmpeg makes the video that the OpenCV camera's test plays back.
system-test:
	@sh requirements/system.sh $(PYTHON) $(LIBRARIES) ffmpeg

# What the benchmark compares with and PyPI does not have.
system-bench:
	@sh requirements/system.sh $(PYTHON) $(LIBRARIES) enfuse align_image_stack

# Without a file of this name the environment is new, or was made by another interpreter, elsewhere, or from another
# lock: start afresh. With an older one, pip only has to bring it up to date.
$(READY): $(LOCK) pyproject.toml $(COMPILED) | system
	@test -e $@ || $(PYTHON) -m venv --clear $(VENV)
	@echo "focusrail: installing $(LOCK) into $(VENV) (170 MB the first time)"
	@$(PIP) --require-hashes --no-build-isolation --requirement $(LOCK) || { \
		echo "focusrail: pip could not install $(LOCK), see above; the first make needs the network," \
			"or PIP_INDEX_URL naming a mirror that can be reached" >&2; exit 1; }
	@$(PIP) --no-deps --no-index --no-build-isolation --editable .
	@touch $@

# The locks name no index and no host. Pins stay as they are unless they must change; to renew them: make lock UPGRADE=1
UV := .venv-lock/bin/uv
COMPILE = $(UV) --no-config pip compile --quiet --universal --python-version 3.10 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

lock: $(UV) ## write requirements/*.txt anew from pyproject.toml and requirements/*.in
	$(COMPILE) --extra test --extra lint pyproject.toml requirements/board.in --output-file requirements/board.txt
	$(COMPILE) --extra test --extra lint pyproject.toml requirements/current.in --output-file requirements/current.txt
	$(COMPILE) --extra test pyproject.toml requirements/kv260-image.in --output-file requirements/kv260-image.txt

$(UV): | system
	@$(PYTHON) -m venv --clear .venv-lock
	@.venv-lock/bin/python -m pip --quiet install uv==0.13.9

clean: ## remove the environments, caches and the demo's results (never a data folder of your own)
	rm -rf .venv .venv-* demo dist build .bench .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find daemon drivers -name '*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
