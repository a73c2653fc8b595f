# Every target does its own set-up; a second call finds it done.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long lint clean

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
DEMO := runs/demo

help:
	@echo "make demo   data, training, evaluation and an answered video, in $(DEMO)"
	@echo "make test   the tests; before a release also make test-long, which takes minutes more"
	@echo "make lint   ruff and mypy"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@$(RUN) .ci/system_libraries.py
	touch $@

# The whole road, command by command; each line is one that a user types for data of their own.
demo: $(DEMO)/answer.mp4
	@cat $(DEMO)/evaluation/report.md
	@echo "Open $(DEMO)/answer.mp4 to see a real speaker answered."

$(DEMO)/raw/dyads.json: | $(STAMP)
	$(RUN) -m data_pipeline.dyads --out $(DEMO)/raw --clips 60 --seconds 6 --takes 2 --seed 0

$(DEMO)/shards/description.json: | $(DEMO)/raw/dyads.json
	$(RUN) -m data_pipeline.prepare shards --raw $(DEMO)/raw --out $(DEMO)/shards --workers 2

$(DEMO)/run/.trained: | $(DEMO)/shards/description.json
	JAX_NUM_CPU_DEVICES=2 $(RUN) train.py --config configs/demo.py --workdir $(DEMO)/run --data.dir $(DEMO)/shards \
	    $$(test -d $(DEMO)/run/checkpoints && echo --resume)
	touch $@

$(DEMO)/evaluation/report.md: | $(DEMO)/run/.trained
	$(RUN) eval.py --checkpoint $(DEMO)/run --out $(DEMO)/evaluation

$(DEMO)/speaker.mp4: | $(STAMP)
	$(RUN) -m data_pipeline.sample_clip --out $(DEMO)/speaker.mp4 --otherwise $(DEMO)/raw

$(DEMO)/answer.mp4: | $(DEMO)/evaluation/report.md $(DEMO)/speaker.mp4
	$(RUN) -m reactface_jax.react --speaker $(DEMO)/speaker.mp4 --face right --checkpoint $(DEMO)/run --out $@

test: $(STAMP)
	$(RUN) -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test-long: $(STAMP)
	$(RUN) -m pytest -m long --numprocesses auto --dist loadfile --no-loadscope-reorder

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

clean:
	rm -rf runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache
