# Every target does its own set-up from a bare clone: python3 -m venv and pip, nothing else.
# Without an NVIDIA GPU a smaller torch will do:
#   make demo PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin

# OpenCV with windows needs libGL; on a machine without it the build without windows takes over.
OPENCV_THAT_LOADS = $(BIN)/python -c "import cv2" 2>/dev/null || { \
	$(BIN)/python -m pip uninstall --quiet --yes opencv-python && \
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps $(PIP_ARGS) \
		-c constraints.txt opencv-python-headless; }

.PHONY: demo test check bench bench-peers soak clean

demo: $(VENV)/.runtime
	$(BIN)/python run_stream.py --output output/demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow"

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy run_stream.py

bench: $(VENV)/.runtime
	$(BIN)/python -m benchmarks --json output/bench.json --markdown output/bench.md

# Our tracker beside others, each package in an environment of its own: docs/tracker-peers.md.
# `make bench-peers TRAJECTORIES=folder`; ARGS="--few --seeds 3" and the like make it shorter.
PEERS := .venv-peers
TRAJECTORIES ?= trajectories
ARGS ?=
bench-peers: $(VENV)/.runtime $(PEERS)/trackers/.ready $(PEERS)/norfair/.ready $(PEERS)/stonesoup/.ready
	$(BIN)/python -m benchmarks.peers $(TRAJECTORIES) --output output/peers $(ARGS)

$(PEERS)/%/.ready: benchmarks/peers/environments/%.txt
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --no-deps $(PIP_ARGS) -r $<
	touch $@

# Faults, damage and hours: docs/reliability.md says what each shows.
soak: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow -s -v tests/pipeline tests/sources tests/sinks tests/tracking \
		tests/model/test_weights_fuzz.py tests/test_*.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.runtime: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e .
	$(OPENCV_THAT_LOADS)
	touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e ".[dev]"
	$(BIN)/python -m pip install --quiet --no-deps $(PIP_ARGS) -c constraints.txt \
		pyirstdmetrics trackeval
	$(OPENCV_THAT_LOADS)
	touch $@

clean:
	rm -rf $(VENV) $(PEERS) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
