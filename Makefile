# Needs Python 3.10 or later, git and make; everything else each target sees to by itself, in .venv*/ beside this file.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: help demo test lint unit integration nightly bench bench-memory bench-postgresql dashboards docs packages programs clean

export PYTHON ?= python3
VENV := .venv
SQLALCHEMY21 := .venv-sqlalchemy21
TASKS ?= 1000000
RUNS ?= 1000
ROWS ?= 5000000
TIMES ?= 100
PY := $(VENV)/bin/python
READY := $(VENV)/.installed
PACKAGES := prometheus:prometheus promtool:prometheus prometheus-alertmanager:prometheus-alertmanager \
            pg_ctlcluster:postgresql victoria-metrics:victoria-metrics npm:npm ps:procps curl:curl
# Beside what the machine has, tests try these of a later Debian: what people run who do not take Debian's.
PROGRAMS := .programs
TODAY := prometheus:prometheus promtool:promtool prometheus-alertmanager:prometheus-alertmanager \
         amtool:prometheus-alertmanager victoria-metrics:victoria-metrics vmalert:victoria-metrics \
         prometheus-pushgateway:prometheus-pushgateway prometheus-node-exporter:prometheus-node-exporter

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 24

demo: $(READY) packages ## a real workflow, the exporter, Prometheus and Alertmanager, until Ctrl-C (or DURATION=60s)
	@# In a process group of its own (which takes job control, and a shell that stays): Ctrl-C is for the demo to end
	@# well by, not for make to call it failed.
	@set -m; $(VENV)/bin/parsl-exporter demo --with-prometheus $(if $(DURATION),--duration $(DURATION)) || exit

test: lint unit integration ## everything that a change has to pass

lint: $(READY) ## style, types, and whether what is generated is up to date
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(PY) docs/build.py --check

unit: $(READY) $(SQLALCHEMY21)/.installed packages ## tests of the parts, with the SQLAlchemy that Parsl allows and with the next one
	@echo "With both versions at once"; \
	$(SQLALCHEMY21)/bin/python -m pytest --quiet -p no:cacheprovider tests/unit >$(SQLALCHEMY21)/unit.log 2>&1 & next=$$!; \
	failed=0; $(PY) -m pytest --quiet tests/unit || failed=$$?; \
	wait $$next || failed=$$?; cat $(SQLALCHEMY21)/unit.log; exit $$failed

integration: $(READY) packages programs ## tests with real programs (Parsl, Prometheus, PostgreSQL, npm), and with any input
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PY) -m pytest --quiet --numprocesses 4 --dist loadfile --durations 12 \
	    -m 'not nightly' --ignore tests/unit --ignore tests/bench

nightly: $(READY) packages programs ## what takes long, and the tests with any input, TIMES times as many (default 100): an hour or two
	@.ci/packages faketime:faketime
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PY) -m pytest --quiet -m nightly tests/integration
	HYPOTHESIS_PROFILE=nightly TIMES=$(TIMES) $(PY) -m pytest --quiet --numprocesses 4 --durations 12 -m hypothesis \
	    tests/fuzz tests/unit tests/integration/test_web_clients.py

bench: $(READY) ## how harmless and how cheap, as ratios, with TASKS tasks (default 1,000,000)
	@folder=$$(mktemp --directory); trap 'rm -rf "$$folder"' EXIT; \
	$(PY) tests/bench/generate.py "$$folder/large.db" --tasks $(TASKS); \
	$(PY) tests/bench/first_read.py "$$folder/large.db"; \
	$(PY) tests/bench/served.py "$$folder/large.db"; \
	$(PY) tests/bench/steady.py "$$folder/large.db" --tasks $(TASKS); \
	$(PY) tests/bench/harmless.py

bench-memory: $(READY) ## memory while RUNS runs (default 1,000) of 1,000 tasks come and go: half an hour
	$(PY) tests/bench/churn.py --runs $(RUNS)

bench-postgresql: $(READY) packages ## what a poll of PostgreSQL costs beside ROWS rows of history (default 5,000,000)
	PYTHONPATH=.:tests $(PY) tests/bench/postgresql.py $(ROWS)

dashboards: $(READY) ## write grafana/dashboards/ anew
	$(PY) -m grafana.build

docs: $(READY) ## write docs/metrics.md and docs/configuration.md anew
	$(PY) docs/build.py

packages:
	@.ci/packages $(PACKAGES)

programs:
	@.ci/programs $(PROGRAMS) forky $(TODAY)

$(READY): pyproject.toml
	@echo "Preparing $(@D)"
	@.ci/environment $(@D) --editable '.[test,demo,dashboards]'
	@touch $@

# Parsl keeps SQLAlchemy below 2.1, so this environment is without Parsl.
$(SQLALCHEMY21)/.installed: pyproject.toml
	@echo "Preparing $(@D)"
	@.ci/environment $(@D) --editable '.[test]' 'sqlalchemy>=2.1,<2.2'
	@touch $@

clean: ## remove what the other targets made
	rm -rf .venv* $(PROGRAMS) .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist exporter/*.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
