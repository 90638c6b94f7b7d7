# `make demo` runs the funnel on a log, `make test` runs the tests. Both do all the set-up they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
USERS ?= 20000
ITEMS ?= 100000
EVENTS ?= 2000000
DATA ?=
SEED ?= 0
OUT ?= benchmarks/results
GPU_CHECK_SECONDS ?= 480
MINUTES ?= 5
SUBJECT ?=

# Two at a time, on two cores: threads that spin while they wait would take them from each other.
PYTEST := OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest

NATIVE := setup.py $(shell find cpp bindings -name '*.cpp' -o -name '*.h')
# A folder's own time changes when a file comes or goes, which is when an editable install must be made again.
FOLDERS := $(shell find engine kernels benchmarks -type d -not -name __pycache__)

.PHONY: help demo test test-all test-isa test-rare test-fast test-cpp faults fuzz bench bench-check bench-peers gpu-check lint types format setup setup-dev clean
help:
	@echo "make demo                    train, index and serve a synthetic log; report in runs/"
	@echo "make demo DATA=<folder>      the same on a KuaiRand-Pure, MovieLens-1M or Headrace folder"
	@echo "make test                    every test but the rare, lint, types, C++ under sanitizers"
	@echo "make test-all                the rare tests as well, and the kernels' on each instruction set of this machine"
	@echo "make test-fast               the inner loop: no slow tests, no sanitizers"
	@echo "make faults MINUTES=5        kills, full disks, flipped bits and forged files at random, each trial with a seed of its own"
	@echo "make fuzz                    MINUTES=5 of random calls from fresh seeds; SUBJECT=ops for one subject of tests/fuzz"
	@echo "make bench-peers             install what the benchmarks compare with"
	@echo "make bench                   every kernel beside its peers; rows in benchmarks/results/"
	@echo "make bench-check             what got slower since BASE=<revision>, or since the branch left main"
	@echo "make gpu-check OUT=<folder>  on a machine with a GPU: every kernel checked and measured there (docs/gpu.md)"

demo: setup
	$(BIN)/headrace demo $(if $(DATA),--data "$(DATA)",--users $(USERS) --items $(ITEMS) --events $(EVENTS)) --seed $(SEED)

test: setup-dev lint types test-cpp
	$(PYTEST) -m "not rare" -n 2 --dist loadfile

# One after the other: each takes both cores.
test-all:
	$(MAKE) test
	$(MAKE) test-isa
	$(MAKE) test-rare

test-rare: setup-dev
	$(PYTEST) -m rare -n 2 --dist loadfile

# HEADRACE_ISA is what a test meets that forces none of its own.
test-isa: setup-dev
	@set -e; levels=$$($(BIN)/python -c "from headrace.kernels import settings; print(*settings.usable_isas())"); \
	for isa in $$levels; do echo "HEADRACE_ISA=$$isa"; \
	HEADRACE_ISA=$$isa $(PYTEST) -q -m "not rare" -n 2 --dist loadfile --ignore-glob="*_gpu.py" tests/kernels; done

test-fast: setup-dev
	$(PYTEST) -m "not slow and not rare and not browser" -q -n 2 --dist loadfile

test-cpp:
	$(MAKE) -s --no-print-directory -C tests/cpp -j2

faults: setup-dev
	$(BIN)/python tests/engine/faults.py --minutes $(MINUTES)

# SEED is that of `make demo` by default, which is not what is meant here.
fuzz: setup-dev
	$(BIN)/python tests/fuzz/fuzz.py $(SUBJECT) --minutes $(MINUTES) $(if $(filter-out file,$(origin SEED)),--seed $(SEED))

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	clang-format --dry-run --Werror $(filter-out setup.py,$(NATIVE)) $(wildcard tests/cpp/*.h tests/cpp/*.cpp) benchmarks/count/count.cpp

types: setup-dev
	$(BIN)/mypy -p headrace

# Peers that are not installed are left out.
bench: setup-dev
	$(BIN)/headrace bench --suite quick --out benchmarks/results

# The base is built in a worktree under build/guard, which is used again the next time.
bench-check: setup-dev
	$(BIN)/headrace bench check $(if $(BASE),--base "$(BASE)")

bench-peers: $(VENV)/bench.stamp

# With what the machine has: its own Python, nothing fetched, native kernels only where they can be built.
gpu-check:
	@end=$$(($$(date +%s) + $(GPU_CHECK_SECONDS))); \
	$(PYTHON) benchmarks/gpu_build.py build/gpu-check && \
	GPU_CHECK_SECONDS=$$((end - $$(date +%s))) PYTHONPATH="$(CURDIR)/build/gpu-check$${PYTHONPATH:+:$$PYTHONPATH}" \
	$(PYTHON) -m headrace.benchmarks.gpu_check --out "$(OUT)" $(if $(DRY_RUN),--dry-run)

format: setup-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	clang-format -i $(filter-out setup.py,$(NATIVE)) $(wildcard tests/cpp/*.h tests/cpp/*.cpp) benchmarks/count/count.cpp

setup: $(VENV)/run.stamp
setup-dev: $(VENV)/dev.stamp

$(VENV)/base.stamp: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("headrace needs Python 3.10 or later" if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --upgrade pip
	@touch $@

# torch first and pinned: asked for by another package, pip would take a build with gigabytes of GPU libraries.
$(VENV)/torch.stamp: $(VENV)/base.stamp
	$(BIN)/python -m pip install -qq -c constraints.txt torch
	@touch $@

$(VENV)/run.stamp: $(VENV)/torch.stamp pyproject.toml $(NATIVE) $(FOLDERS)
	@echo "installing headrace; its C++ takes some 4 minutes on 2 cores the first time"
	$(BIN)/python -m pip install -qq -c constraints.txt -e ".[report]"
	@touch $@

$(VENV)/dev.stamp: $(VENV)/torch.stamp pyproject.toml $(NATIVE) $(FOLDERS)
	@echo "installing headrace and its tools; its C++ takes some 4 minutes on 2 cores the first time"
	$(BIN)/python -m pip install -qq -c constraints.txt -e ".[report,dev,gpu]"
	@touch $(VENV)/run.stamp $@

$(VENV)/bench.stamp: $(VENV)/dev.stamp constraints.txt
	$(BIN)/python -m pip install -qq -c constraints.txt -e ".[report,dev,gpu,bench]"
	@touch $(VENV)/run.stamp $(VENV)/dev.stamp $@

clean:
	rm -rf $(VENV) build dist *.egg-info engine/*.so
