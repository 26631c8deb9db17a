# Needs Python 3.11 or later, git and make; everything else each target sees to by itself, in .venv*/ beside this file.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: help demo test lint hooks coverage unit integration nightly mutation any-input foreign-clocks newest audit fresh-machines bench bench-memory \
        bench-growth bench-postgresql bench-sizing dashboards manifests docs site dist sbom lock packages programs clean

export PYTHON ?= python3
# Modules stay compiled, as those of an installed package do: tests start hundreds of exporters.
export PYTHONDONTWRITEBYTECODE :=
VENV := .venv
DEMO := .venv-demo
SQLALCHEMY21 := .venv-sqlalchemy21
NEWEST := .venv-newest
AUDIT := .venv-audit
SBOM := .venv-sbom
LOCK := .ci/lock.txt
LOCK21 := .ci/lock-sqlalchemy21.txt
NEXT := sqlalchemy>=2.1,<2.2
OF_URLS := tests/unit/config tests/unit/readers/test_targets.py tests/unit/workflow/test_database.py
# What images are made of, each with the hashes of its files.
LOCK_IMAGE := .ci/lock-image.txt
LOCK_DEMO := .ci/lock-demo.txt
LOCK_BUILD := .ci/lock-build.txt
SCRIPTS := $(sort $(shell grep -lr '^#!.*bash' .ci findings))
TASKS ?= 1000000
RUNS ?= 1000
ROWS ?= 5000000
TIMES ?= 100
SUITES ?= bookworm trixie forky
# Asked for by name, so that mutmut first tries the tests by theirs: of one that it cannot find, all mutants count as caught.
MUTANTS ?= *
PY := $(VENV)/bin/python
SHARED_OUT := --dist loadgroup --no-loadscope-reorder
READY := $(VENV)/.installed
DEMO_PACKAGES := prometheus:prometheus prometheus-alertmanager:prometheus-alertmanager
PACKAGES := $(DEMO_PACKAGES) promtool:prometheus \
            pg_ctlcluster:postgresql victoria-metrics:victoria-metrics npm:npm ps:procps curl:curl chromium:chromium \
            systemd-analyze:systemd zsh:zsh fish:fish mandoc:mandoc groff:groff-base
# Beside what the machine has, tests try these of a later Debian: what people run who do not take Debian's.
PROGRAMS := .programs
MUTATION := .mutation
TODAY := prometheus:prometheus promtool:promtool prometheus-alertmanager:prometheus-alertmanager \
         amtool:prometheus-alertmanager victoria-metrics:victoria-metrics vmalert:victoria-metrics \
         prometheus-pushgateway:prometheus-pushgateway prometheus-node-exporter:prometheus-node-exporter

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 24

demo: $(DEMO)/.installed ## a real workflow, the exporter, Prometheus and Alertmanager, until Ctrl-C (or DURATION=60s)
	@.ci/packages $(DEMO_PACKAGES)
	@# In a process group of its own (which takes job control, and a shell that stays): Ctrl-C is for the demo to end
	@# well by, not for make to call it failed.
	@set -m; $(DEMO)/bin/parsl-exporter demo --with-prometheus $(if $(DURATION),--duration $(DURATION)) || exit

test: lint unit integration ## everything that a change has to pass

lint: $(READY) ## style, types, and whether what is generated is up to date
	@.ci/packages promtool:prometheus shellcheck:shellcheck
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(PY) -m docs.build --check
	$(PY) -m grafana.build --check
	$(PY) -m config.build --check
	.ci/if-there promtool check rules config/rules/*.yml
	.ci/if-there shellcheck $(SCRIPTS)

hooks: $(READY) ## have git ask before each commit what `make lint` asks of what it touches (needs pre-commit)
	pre-commit install

# What reads database URLs knows SQLAlchemy, and nothing else of the package does (tests/unit/test_layers.py): it is for
# tests of that to be passed with both versions.
unit: $(READY) $(SQLALCHEMY21)/.installed packages ## tests of the parts, with the SQLAlchemy that Parsl allows and with the next one
	@echo "With both versions at once"; \
	$(SQLALCHEMY21)/bin/python -m pytest --quiet -p no:cacheprovider $(OF_URLS) >$(SQLALCHEMY21)/unit.log 2>&1 & next=$$!; \
	failed=0; $(PY) -m pytest --quiet $(SHARED_OUT) --numprocesses 2 tests/unit || failed=$$?; \
	wait $$next || failed=$$?; cat $(SQLALCHEMY21)/unit.log; exit $$failed

integration: $(READY) packages programs ## tests with real programs (Parsl, Prometheus, PostgreSQL, npm), and with any input
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PY) -m pytest --quiet $(SHARED_OUT) --numprocesses 4 \
	    --durations 12 -m 'not nightly' --ignore tests/unit --ignore tests/bench

nightly: ## what takes hours: any input TIMES times as often (default 100), newest dependencies, audit, fresh machines, mutants
	@$(MAKE) --no-print-directory --keep-going any-input foreign-clocks newest audit fresh-machines mutation

coverage: $(READY) ## which lines and branches of the package no test of the parts, and none with any input, takes
	$(PY) -m coverage run -m pytest --quiet tests/unit tests/fuzz
	$(PY) -m coverage report

mutation: $(READY) ## which changes of the model (or of MUTANTS, such as '*.offsets.*', or SAMPLE=500 of all) no test notices
	@mkdir -p $(MUTATION); for name in tests pyproject.toml; do ln -sfn "$(CURDIR)/$$name" $(MUTATION)/$$name; done; \
	ln -sfn "$(CURDIR)/exporter" $(MUTATION)/src
	cd $(MUTATION); export PATH="$(CURDIR)/$(VENV)/bin:$$PATH" MYPYPATH=src; \
	$(if $(SAMPLE),nice -n 19 python tests/mutation/sample.py $(SAMPLE) $(SEED) >sample;) \
	nice -n 19 mutmut run $(if $(SAMPLE),$$(<sample),'$(MUTANTS)')
	$(PY) tests/mutation/report.py $(MUTATION) $(if $(SAMPLE),$(MUTATION)/sample)

foreign-clocks: $(READY) packages programs ## runs whose hosts have other zones and clocks, alive and killed
	@.ci/packages faketime:faketime
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PY) -m pytest --quiet -m nightly tests/integration

any-input: $(READY)
	HYPOTHESIS_PROFILE=nightly TIMES=$(TIMES) $(PY) -m pytest --quiet --numprocesses 4 --durations 12 -m hypothesis \
	    tests/fuzz tests/unit tests/integration/test_web_requests.py

newest: ## the tests but for style, with the newest that pyproject.toml allows of everything
	@echo "Preparing $(NEWEST)"
	@.ci/environment $(NEWEST) --editable '.[test,demo,dashboards,docs,kubernetes]'
	$(NEWEST)/bin/mypy --python-version $$($(NEWEST)/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
	$(NEWEST)/bin/python -m pytest --quiet tests/unit
	@touch $(NEWEST)/.installed
	@$(MAKE) --no-print-directory VENV=$(NEWEST) integration

audit: ## known vulnerabilities in what tests run with, and in what a user gets today; asks PyPI
	@.ci/environment $(AUDIT) pip-audit
	@.ci/environment $(AUDIT)-runtime '.[postgresql,web]'
	@$(AUDIT)-runtime/bin/pip freeze --exclude parsl-exporter >$(AUDIT)-runtime/requirements.txt
	.ci/audit $(AUDIT)/bin/pip-audit $(LOCK) $(AUDIT)-runtime/requirements.txt

fresh-machines: ## what README begins with, on new machines with the Debian SUITES (default bookworm trixie forky); needs root
	@failed=0; for suite in $(SUITES); do .ci/fresh-machine $$suite || failed=1; done; exit $$failed

bench: $(READY) ## how harmless and how cheap, as ratios, with TASKS tasks (default 1,000,000)
	@folder=$$(mktemp --directory); trap 'rm -rf "$$folder"' EXIT; \
	$(PY) tests/bench/generate.py "$$folder/large.db" --tasks $(TASKS); \
	$(PY) tests/bench/first_read.py "$$folder/large.db"; \
	$(PY) tests/bench/first_read.py "$$folder/large.db" --busy 6 --pairs 1; \
	$(PY) tests/bench/served.py "$$folder/large.db"; \
	$(PY) tests/bench/restart.py "$$folder/large.db"; \
	$(PY) tests/bench/steady.py "$$folder/large.db" --tasks $(TASKS); \
	$(PY) tests/bench/query_exporter.py "$$folder/large.db" --tasks $(TASKS); \
	$(PY) tests/bench/harmless.py

bench-memory: $(READY) ## memory while RUNS runs (default 1,000) of 1,000 tasks come and go: half an hour
	$(PY) tests/bench/churn.py --runs $(RUNS)

bench-growth: $(READY) ## first reads of 10,000 to 3,000,000 tasks: 7 GB, half an hour
	$(PY) tests/bench/growth.py

bench-postgresql: $(READY) packages ## first reads of PostgreSQL, and a poll beside ROWS rows of history (default 5,000,000)
	PYTHONPATH=.:tests $(PY) tests/bench/first_read_postgresql.py
	PYTHONPATH=.:tests $(PY) tests/bench/postgresql.py $(ROWS)

bench-sizing: $(READY) packages ## what a run, a campaign and a centre take: docs/sizing.md, a few minutes
	PYTHONPATH=.:tests $(PY) tests/bench/sizing.py

dashboards: $(READY) ## write grafana/dashboards/ anew
	$(PY) -m grafana.build

manifests: $(READY) ## write config/kubernetes/ anew
	$(PY) -m config.build

docs: $(READY) ## write the generated pages, the manual page and the completions anew
	$(PY) -m docs.build

site: $(READY) ## the documentation as a site, in build/site/
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build

dist: $(READY) ## an sdist and a wheel in dist/, the same bytes from the same commit
	rm -rf dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(PY) -m hatchling build

# Of an environment as an image has it, for what a package needs and its licence are told by what is installed.
sbom: dist ## what an image is made of, in CycloneDX, beside them
	@.ci/environment $(SBOM) 'cyclonedx-bom>=7,<8'
	@.ci/environment $(SBOM)/image --no-deps --only-binary :all: --require-hashes --requirement $(LOCK_IMAGE)
	@$(SBOM)/image/bin/pip install --quiet --disable-pip-version-check --no-deps --no-index dist/*.whl
	@$(SBOM)/image/bin/pip uninstall --quiet --disable-pip-version-check --yes setuptools pip
	$(SBOM)/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible \
	    --output-file "$$(echo dist/*.whl | sed 's/-py3.*/.cdx.json/')" $(SBOM)/image

lock: ## pin anew what tests run with and what images hold: the newest of everything that all supported Pythons can have
	@.ci/environment .venv-lock uv
	@compile() { .venv-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --fork-strategy fewest \
	    --no-header --no-annotate "$$@"; }; \
	compile --extra test --extra demo --extra dashboards --extra docs --extra kubernetes --extra measure --output-file $(LOCK) pyproject.toml; \
	compile --extra test --output-file $(LOCK21) pyproject.toml - <<<'$(NEXT)'; \
	compile --generate-hashes --extra postgresql --extra web --output-file $(LOCK_IMAGE) pyproject.toml; \
	compile --generate-hashes --extra postgresql --extra web --extra demo --output-file $(LOCK_DEMO) pyproject.toml; \
	sed -nE 's/^requires = \["([^"]*)"\].*/\1/p' pyproject.toml | compile --generate-hashes --output-file $(LOCK_BUILD) -
	@git diff --stat -- .ci

packages:
	@.ci/packages $(PACKAGES)

programs:
	@.ci/programs $(PROGRAMS) forky $(TODAY)

$(READY): pyproject.toml $(LOCK)
	@echo "Preparing $(@D), 650 MB"
	@.ci/environment $(@D) --constraint $(LOCK) --editable '.[test,demo,dashboards,docs,kubernetes,measure]'
	@touch $@

$(DEMO)/.installed: pyproject.toml $(LOCK)
	@echo "Preparing $(@D): 60 MB, a minute at most"
	@.ci/environment $(@D) --constraint $(LOCK) --editable '.[demo]'
	@touch $@

# Parsl keeps SQLAlchemy below 2.1, so this environment is without Parsl.
$(SQLALCHEMY21)/.installed: pyproject.toml $(LOCK21)
	@echo "Preparing $(@D), 330 MB"
	@.ci/environment $(@D) --constraint $(LOCK21) --editable '.[test]' '$(NEXT)'
	@touch $@

clean: ## remove what the other targets made
	rm -rf .venv* $(PROGRAMS) $(MUTATION) .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist exporter/*.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
