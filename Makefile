# `make demo` and `make test` are all a new machine needs: both set up what they use, and only once.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\#.*/\1/p' Makefile)

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(STAMP) ## a virtual environment with the locked packages, hashes checked

$(STAMP): requirements.lock pyproject.toml scripts/python.sh scripts/setup.sh
	@scripts/setup.sh $(VENV)
	@touch $(STAMP)

demo: $(STAMP) ## real SDK agents spend against budgets on this machine and are refused at exactly the limit
	@$(BIN)/python tests/demo

test: $(STAMP) lint ## every check: lint, types, layers, tests
	@[ "$$(id -u)" -ne 0 ] || scripts/cluster-packages.sh || true
	@[ "$$(id -u)" -ne 0 ] || scripts/cluster-packages.sh chromium prometheus || true
	@$(BIN)/python tests/cluster/build.py
	@$(BIN)/python tests/sdks/build.py
	@scripts/test.sh $(BIN)/python

test-cluster: $(STAMP) ## of these: agents of seven clients in a real cluster of its own
	@[ "$$(id -u)" -ne 0 ] || scripts/cluster-packages.sh || true
	@$(BIN)/python tests/cluster/build.py
	@$(BIN)/python -m pytest tests/in_cluster

test-sdks: $(STAMP) ## of these: real SDKs in 26 configurations on every rung
	@$(BIN)/python tests/sdks/build.py
	@$(BIN)/python -m pytest tests/sdks

lint: $(STAMP) ## ruff, mypy, import contracts, docstrings
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONPATH=tests $(BIN)/lint-imports
	@$(BIN)/interrogate -q core operator sidecar

format: $(STAMP) ## let ruff mend what it can
	@$(BIN)/ruff check --fix-only -q .
	@$(BIN)/ruff format -q .

bench-overshoot: $(STAMP) ## dollars past the limit and false refusals, scenario by scenario
	@$(BIN)/python tests/bench/overshoot.py

bench-pacing: $(STAMP) ## three minutes in Slow over fifty pods: spend against an even rate, order, waits
	@$(BIN)/python tests/bench/pacing.py

bench-proxy: $(STAMP) ## latency, rps and memory beside a direct call and a bare mitmproxy relay
	@$(BIN)/python tests/bench/proxy.py

bench-decide: $(STAMP) ## microseconds that the decision takes with six budgets matched, step by step
	@$(BIN)/python tests/bench/decide.py

bench-bounds: $(STAMP) ## how far the guesses about a call's input are off, by kind of text
	@$(BIN)/python tests/bench/bounds.py

bench-meter: $(STAMP) ## microseconds that metering takes, by dialect, and a price
	@$(BIN)/python tests/bench/meter.py

bench-month: $(STAMP) ## reports of a month of 1,000 workflows on SQLite, its size, and whether all sums agree
	@$(BIN)/python tests/bench/month.py

bench-loops: $(STAMP) ## where loops are stopped and healthy runs are not, shape by shape
	@$(BIN)/python tests/bench/loops.py

bench-anomalies: $(STAMP) ## anomalies found in fifteen minutes, and false alarms, over synthetic months
	@$(BIN)/python tests/bench/anomalies.py

bench-soak: $(STAMP) ## ten minutes at half load: memory must stay flat
	@$(BIN)/python tests/bench/soak.py

bench-cluster: $(STAMP) ## webhook latency, the controller with many budgets and pods, a pod's start, how soon spend is seen
	@[ "$$(id -u)" -ne 0 ] || scripts/cluster-packages.sh
	@$(BIN)/python tests/bench/webhook.py
	@$(BIN)/python tests/bench/budgets.py
	@$(BIN)/python tests/bench/pod_start.py
	@$(BIN)/python tests/bench/freshness.py

lock: $(STAMP) ## resolve the dependencies anew; hashes, no addresses
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	  --python-version 3.12 --extra sidecar --extra operator --group dev --custom-compile-command 'make lock' \
	  pyproject.toml -o requirements.lock
	@for part in operator sidecar; do \
	  $(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	    --python-version 3.12 --extra $$part --custom-compile-command 'make lock' pyproject.toml -o $$part/requirements.lock; \
	done
	@for of in tests/sdks/environments/*/requirements.in; do \
	  (cd $${of%/*} && $(CURDIR)/$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --no-annotate --python-version 3.12 --custom-compile-command 'make lock' \
	    requirements.in -o requirements.lock); \
	done
	@cd tests/sdks/environments/node && npm install --package-lock-only --omit-lockfile-registry-resolved \
	  --ignore-scripts --no-audit --no-fund --silent

cluster: $(STAMP) ## a real Kubernetes of plain processes that stays; prints its KUBECONFIG
	@[ "$$(id -u)" -ne 0 ] || scripts/cluster-packages.sh
	@$(BIN)/python tests/cluster up

cluster-demo: $(STAMP) ## the chart in that cluster, agents in pods, budgets filling, and the provider's bill beside the books
	@[ "$$(id -u)" -ne 0 ] || scripts/cluster-packages.sh
	@$(BIN)/python tests/demo/in_cluster.py

cluster-down: $(STAMP) ## ends it
	@$(BIN)/python tests/cluster down

images: $(STAMP) ## the two container images, by buildah or BUILDER=docker
	@PYTHON=$(BIN)/python scripts/images.sh

.PHONY: rehearsal
rehearsal: $(STAMP) ## a day of three workflows and one loop, with and without budgets, under a clock that is moved
	@$(BIN)/python tests/bench/rehearsal.py

clean: ## what set-up and tests left behind, except the lock
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
