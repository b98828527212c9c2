# make setup | demo | test | lint | bench | teacher | metaworld. All of it may be interrupted and called again.
.DEFAULT_GOAL := help
.PHONY: help setup demo test unit lint format bench teacher metaworld clean
SHELL := /bin/bash
# The Python that .venv is made with: 3.10 to 3.13.
PYTHON ?= python3
ARGS ?=

ENV := source ./env.sh &&

help: ## this text
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/make \1\t\2/' | expand -t 14

setup: ## virtual environment, ROS 2 (unless one is sourced), packages, colcon build
	@$(PYTHON) tools/setup_workspace.py

demo: setup ## launch the simulation, give instructions, leave video and report in runs/demo/
	@$(ENV) vla demo $(ARGS)

test: setup ## all tests
	@$(ENV) python -m pytest -q -n 2 -m "unit or contract" $(ARGS) \
	    && python -m pytest -q -m "not unit and not contract" $(ARGS)

unit: setup ## only the fast tests
	@$(ENV) python -m pytest -q -m unit $(ARGS)

lint: setup ## style, format, imports between rooms, types
	@$(ENV) ruff check . && ruff format --check . && lint-imports && pyright

format: setup ## let ruff fix what it can
	@$(ENV) ruff check --fix . ; ruff format .

bench: setup ## every benchmark that can be run here, for hours; numbers go to benchmarks/results/
	@$(ENV) for script in benchmarks/[a-z]*.py; do name=$$(basename "$$script" .py); echo "== $$name"; \
	    python "$$script" --json "benchmarks/results/$$name.json" || failed="$$failed $$name"; done; \
	    [ -z "$$failed" ] || { echo "not measured:$$failed"; exit 1; }

teacher: setup ## make checkpoints/teacher again: demonstrations, then seven training runs, the fourth sized for a GPU; resumes
	@$(ENV) set -e; vla collect --suite arx5 --episodes 280 --out data/arx5_train; \
	    vla collect --tasks push,insert --episodes 420 --errors 0.8 --seed 2000000 --out data/arx5_mistakes; \
	    vla collect --tasks push --episodes 600 --errors 0.9 --seed 3000000 --out data/arx5_pushes; \
	    vla collect --tasks open --episodes 200 --errors 0.9 --seed 5000000 --out data/arx5_opens; \
	    export ACCELERATE_USE_CPU=true OMP_NUM_THREADS=1; for run in teacher_first teacher_second teacher_third teacher_fourth teacher_fifth teacher_sixth teacher; do \
	    torchrun --nproc_per_node 2 -m vla_distill.cli.main train --config config/train/$$run.yaml; done

metaworld: setup ## .venv-metaworld, for vla collect and vla eval --env metaworld
	@$(ENV) python tools/metaworld_environment.py

clean: ## remove what colcon built (not .venv, not runs/)
	rm -rf build install log
