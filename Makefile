# Every target does its own set-up; a second call finds it done.
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint clean

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
DEMO := runs/demo

help:
	@echo "make demo   data, training, evaluation and an answered video, in $(DEMO) (about 10 minutes on 2 cores)"
	@echo "make test   all tests"
	@echo "make lint   ruff and mypy"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	$(RUN) -m reactface_jax.system_libraries
	touch $@

demo: $(STAMP)
	$(RUN) demo.py --out $(DEMO)

test: $(STAMP)
	$(RUN) -m pytest

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

clean:
	rm -rf runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache
