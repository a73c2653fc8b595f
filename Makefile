# Every target does its own set-up; a second call finds it done.
.DEFAULT_GOAL := help
.PHONY: help setup demo table test test-long lint docs clean

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
REACTFACE := $(VENV)/bin/reactface
STAMP := $(VENV)/.installed
DEMO := runs/demo

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 18

setup: $(STAMP) ## the environment in .venv, which every other target makes too

$(STAMP): pyproject.toml constraints.txt
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@$(RUN) -m compileall -qq -j 0 $(VENV)/lib || true  # on all cores, where pip takes one; some packages hold what is no Python
	@$(RUN) .ci/system_libraries.py
	touch $@

SAY = @printf '\n%s  %s\n' "$$(date +%T)"

# The whole road, command by command; each line is one that a user types for data of their own.
demo: $(DEMO)/answer.mp4 $(DEMO)/evaluation/report.md ## a real video answered, then data, training, evaluation, in runs/demo
	@cat $(DEMO)/evaluation/report.md
	$(SAY) "Done. Open these two, in this order:"
	@echo "  $(DEMO)/evaluation/report.html  what the model that you have just trained does, clip by clip, with figures"
	@echo "  $(DEMO)/answer.mp4              the real speaker and three answers of the listener that comes with the package"

$(DEMO)/speaker.mp4: | $(STAMP)
	@mkdir -p $(DEMO)
	$(SAY) "1 of 5: fetches 9 seconds of a real conversation (seconds; without a network it draws a speaker, 1 minute)"
	$(REACTFACE) sample-clip --out $@ --made

$(DEMO)/answer.mp4: | $(DEMO)/speaker.mp4
	$(SAY) "2 of 5: the listener that comes with the package answers (half a minute). Look: it nods at pauses, smiles back"
	$(REACTFACE) react --speaker $(DEMO)/speaker.mp4 --face right --out $@ --overwrite

# What is written last: where it is, the conversations are complete.
$(DEMO)/raw/test.csv: | $(DEMO)/answer.mp4
	$(SAY) "3 of 5: draws conversations to train on, in which smiles are answered 0.4 s later (2 minutes). Look: raw/Video_files"
	$(REACTFACE) dyads --out $(DEMO)/raw --clips 48 --seconds 5 --takes 2 --seed 0

$(DEMO)/shards/description.json: | $(DEMO)/raw/test.csv
	$(REACTFACE) prepare shards --raw $(DEMO)/raw --out $(DEMO)/shards --workers 2

$(DEMO)/run/.trained: | $(DEMO)/shards/description.json
	$(SAY) "4 of 5: trains a small ReactFace (5 minutes; it compiles for 1.5 of them). Look: it learns to see, then loss falls"
	JAX_NUM_CPU_DEVICES=2 $(REACTFACE) train --config reacting --workdir $(DEMO)/run --data.dir $(DEMO)/shards \
	    --train.steps 300 --train.eval-every 0 $$(test -d $(DEMO)/run/checkpoints && echo --resume)
	touch $@

$(DEMO)/evaluation/report.md: | $(DEMO)/run/.trained
	$(SAY) "5 of 5: answers held-out clips and measures (2 minutes). Look: the table's FRCorr against 'by chance'"
	$(REACTFACE) eval --checkpoint $(DEMO)/run --out $(DEMO)/evaluation --truth $(DEMO)/raw/dyads.json --ceilings --overwrite

table: $(STAMP) ## every row of the paper's table, trained on made conversations; hours, goes on when called again
	JAX_NUM_CPU_DEVICES=2 PYTHONPATH=. $(RUN) benchmarks/table.py --out runs/table

test: $(STAMP) ## the tests
	$(RUN) -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder --durations 40

test-long: $(STAMP) ## the tests that take minutes more, before a release
	$(RUN) -m pytest -m long --numprocesses auto --dist loadfile --no-loadscope-reorder --durations 40

lint: $(STAMP) ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

docs: $(STAMP) ## the documentation site, in build/site; its notebooks are run
	$(RUN) -m sphinx -W --keep-going -q -b html docs build/site
	@echo "Open build/site/index.html."

clean: ## removes what was made, runs/ included
	rm -rf runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache
