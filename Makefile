# Everything a person or a CI does with this project. `make` alone says what there is.

AMUN_STATE_DIR ?= $(CURDIR)/.amun
AMUN_HOST ?= 127.0.0.1
AMUN_PORT ?= 8080
export AMUN_STATE_DIR AMUN_HOST AMUN_PORT

VENV = .venv/bin

.DEFAULT_GOAL = help
.PHONY: help system venv demo demo-stop demo-shell-image serve doctor test test-fast test-cluster lint format bench
.PHONY: bench-cluster browser docs vendor screenshots clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

system: ## install what is missing of the system: Podman and its friends
	@scripts/system.sh

venv: .venv/.installed ## make .venv with the packages of Pipfile.lock

.venv/.installed: Pipfile.lock pyproject.toml scripts/venv.sh
	@scripts/venv.sh
	@touch $@

.venv/.installed-dev: Pipfile.lock pyproject.toml scripts/venv.sh
	@scripts/venv.sh --dev
	@touch .venv/.installed $@

demo: export AMUN_ENGINE = podman
demo: system venv ## from nothing to a finished inspection on screen
	@$(VENV)/python -m amun.engines.podman.host.base_image base >/dev/null
	@scripts/demo.sh

demo-stop: ## stop the service of the demo, and all it runs
	@scripts/stop.sh

demo-shell-image: system venv ## make an image without Python, for examples/shell-only.json
	@$(VENV)/python -m amun.engines.podman.host.base_image shell

serve: system venv ## API and controller in the foreground, on AMUN_HOST:AMUN_PORT
	@exec $(VENV)/amun serve

doctor: venv ## what this machine can do, what Amun chose and why
	@$(VENV)/amun doctor

browser: ## install the browser that the page is tested in
	@scripts/browser.sh

test: system browser .venv/.installed-dev ## all tests, real Podman included
	@$(VENV)/python -m amun.engines.podman.host.base_image base >/dev/null
	@scripts/test.sh

test-fast: .venv/.installed-dev ## the unit tests, but for those that take long
	@$(VENV)/python -m pytest --numprocesses auto --hypothesis-profile quick -m "not slow" tests/unit

lint: .venv/.installed-dev ## format, lint, types, and which package may import which
	@$(VENV)/ruff format --check .
	@$(VENV)/ruff check .
	@$(VENV)/mypy
	@$(VENV)/lint-imports --no-logo

docs: .venv/.installed-dev ## build the documentation as docs/_build/html, and check its links
	@$(VENV)/python -m sphinx -E -W --keep-going -n -q -b html docs docs/_build/html

format: .venv/.installed-dev ## format the code, and mend what lint can mend
	@$(VENV)/ruff check --fix .
	@$(VENV)/ruff format .

test-cluster: .venv/.installed-dev ## the engines' contract and the demo on a real cluster: KUBECONFIG= NAMESPACE= BASE=
	@KUBECONFIG="$(KUBECONFIG)" NAMESPACE="$(NAMESPACE)" BASE="$(BASE)" scripts/test_cluster.sh

vendor: ## fetch the page's plotting library again, as static/vendor/packages.json says
	@python3 scripts/vendor.py

screenshots: system browser .venv/.installed-dev ## make the pictures of docs/ from a service with real inspections
	@$(VENV)/python -m amun.engines.podman.host.base_image base >/dev/null
	@$(VENV)/python -m tests.pages.screenshots

bench-cluster: .venv/.installed-dev ## what the OpenShift engine asks of an API server, and how quickly it reacts
	@$(VENV)/python -m bench.cluster

bench: system venv ## measure what the service costs; ONLY=a,f: some of it, N=20: a shorter queue, ROUNDS=3
	@$(VENV)/python -m amun.engines.podman.host.base_image base >/dev/null
	@$(VENV)/python -m bench $(addprefix --only ,$(ONLY)) $(addprefix --inspections ,$(N)) $(addprefix --rounds ,$(ROUNDS))

clean: demo-stop ## remove what was made: .venv, caches and the state of the demo
	@[ ! -x $(VENV)/python ] || $(VENV)/python -m amun.engines.podman.cleanup --images
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .amun docs/_build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
