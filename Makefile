# make demo: set up, pull two models and BFCL, run the suite with each, print the comparison, write its page. A third: MODEL=NAME.
# make examples: an environment for each agent framework in docs/examples, and the tests that run them.
# make quick: the tests that need no model, database server, browser, whole study or process of their own.
# make test: set up if needed, then every test but those that take more than 20 seconds; these are: make slow.
# make thorough: the property-based tests, with ten times as many examples.
# make check: format, lint, types, layers, and every test (the slow ones too) with coverage.
# make docs: the documentation site, in build/site; a broken link ends it.
# make versions: tests with the lowest releases, with those of a year ago, and on the newest Python.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# The demo: cases of each run, runs' attempts in flight, models, and the page of their comparison.
LIMIT       ?= 60
CONCURRENCY ?= 8
MODELS      ?= smollm2-135m-instruct qwen2.5-coder-0.5b-instruct
PAGE        ?= results/demo.html
# Two workers, each on a core of its own; a file stays on one worker, so that its fixtures are made once.
PARALLEL ?= -n 2 --dist loadfile --no-loadscope-reorder

# The tests start hundreds of processes, and a session of pytest rewrites each module: once is enough.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo examples quick test slow thorough versions docs check format lint types layers coverage pull clean

help:
	@grep -E '^# make' Makefile | sed 's/^# //'

$(VENV)/.core: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "agentbench needs Python 3.11 or newer; set one with: make PYTHON=python3.11 …" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[serving,tune,report]'
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

pull: $(VENV)/.core
	$(BIN)/agentbench pull smollm2-135m-instruct bfcl

# A model of the demo, the name of its answers' form, and that form.
define demo_run
$(BIN)/agentbench run suites/bfcl_simple --limit $(LIMIT) --concurrency $(CONCURRENCY) --label '$(1:-instruct=) $(2)' \
  --set serving.model=$(1) --set agent.output=$(3)

endef

demo: DEMO_MODELS = $(MODELS) $(filter-out $(MODELS),$(MODEL))
demo: $(VENV)/.core
	$(BIN)/agentbench pull $(DEMO_MODELS) bfcl
	$(foreach model,$(DEMO_MODELS),$(call demo_run,$(model),free,free)$(call demo_run,$(model),constrained,json_schema))
	@$(BIN)/agentbench compare $(foreach model,$(DEMO_MODELS:-instruct=),'$(model) free' '$(model) constrained') --html $(PAGE)

quick: $(VENV)/.dev
	$(BIN)/python -m pytest $(PARALLEL) --quick

test: $(VENV)/.dev pull
	$(BIN)/python -m pytest $(PARALLEL) -m 'not slow'

slow: $(VENV)/.dev pull
	$(BIN)/python -m pytest $(PARALLEL) -m slow

# Hypothesis marks what it gives examples to.
thorough: $(VENV)/.dev pull
	$(BIN)/python -m pytest $(PARALLEL) --hypothesis-profile=thorough -m 'hypothesis and not slow'

$(VENV)/.docs: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	@touch $@

# Without --quiet, which would hide the warnings from --strict too.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

versions: $(VENV)/.dev
	.ci/versions $(VENV)/versions $(BIN)/uv $(SET)

# Each framework in an environment of its own: their requirements contradict each other, and agentbench's.
FRAMEWORKS ?= $(VENV)/frameworks
examples: $(VENV)/.dev pull
	@grep -v '^#' docs/examples/frameworks.txt | while IFS=: read -r name packages; do \
	  test -x $(FRAMEWORKS)/$$name/bin/python || $(PYTHON) -m venv $(FRAMEWORKS)/$$name; \
	  $(FRAMEWORKS)/$$name/bin/python -m pip install --quiet --disable-pip-version-check $$packages || exit 1; \
	done
	AGENTBENCH_FRAMEWORKS=$(abspath $(FRAMEWORKS)) $(BIN)/python -m pytest tests/examples -v

check: $(VENV)/.dev pull
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory coverage

coverage: $(VENV)/.dev pull
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PARALLEL) --hypothesis-profile=full
	$(BIN)/coverage combine
	$(BIN)/coverage report --include='agentbench/*' --fail-under=90
	$(BIN)/coverage report --include='tuners/*' --fail-under=90
	$(BIN)/coverage report --include='serving/*' --fail-under=85

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build *.egg-info .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
