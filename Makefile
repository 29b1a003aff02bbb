# Two commands do everything on a fresh machine: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The versions that are tested with a Python: the one of the environment if there is one already.
version = $(shell $(1) -c 'import sys; print("%d%d" % sys.version_info[:2])')
constraints = $(if $(filter 311,$(1)),constraints.txt,constraints-py$(1).txt)
CONSTRAINTS := $(call constraints,$(call version,$(firstword $(wildcard $(BIN)/python) $(PYTHON))))
INSTALL = $(BIN)/python -m pip --disable-pip-version-check install --quiet
PIP = $(INSTALL) -c $(CONSTRAINTS)

.PHONY: demo test test-newest slow storm check venv docs wheel bench clean

demo: $(VENV)/.core
	@mkdir -p runs
	$(BIN)/analogjax train --dataset FashionMNIST --fallback-digits --epochs 5 \
	  --compilation-cache .jax_cache --plot runs/demo.png
	@echo "The curves are in runs/demo.png."

# Nearly all the time of the tests is compilation, and the flags halve it, as far as the installed jaxlib knows them.
# What compares devices with aihwkit and with their own law is compiled in `make slow` as users do, the fast part again.
QUICK = flags="$$($(BIN)/python tests/quick_flags.py)" && XLA_FLAGS="$$flags $(XLA_FLAGS)"
PYTEST = $(BIN)/python -m pytest -n 2 --dist worksteal -q

test: $(VENV)/.test
	$(QUICK) $(PYTEST)

# The core on the newest releases that pyproject.toml allows, everything else as it is tested with that Python.
TOO_OLD := make test-newest needs Python 3.12 or later, as the newest jax does; for example PYTHON=python3.13 make test-newest
test-newest: BIN := .venv-newest/bin
test-newest: TESTED = $(wildcard $(call constraints,$(call version,$(PYTHON))))
test-newest:
	@$(PYTHON) -c 'import sys; sys.exit("$(TOO_OLD)" if sys.version_info < (3, 12) else 0)'
	$(PYTHON) -m venv --clear .venv-newest
	$(INSTALL) -e .
	$(BIN)/python -m pip freeze --exclude-editable > .venv-newest/core.txt
	awk -F '==' 'NR == FNR { core[$$1] } NR == FNR || !($$1 in core)' .venv-newest/core.txt $(TESTED) \
	  > .venv-newest/constraints.txt
	$(INSTALL) -e '.[all]' -r requirements-test.txt -c .venv-newest/constraints.txt
	@$(BIN)/python --version && $(BIN)/python -m pip list --format freeze \
	  | grep -E '^(jax|jaxlib|flax|optax|orbax-checkpoint|numpy|torch|keras)=='
	$(QUICK) $(PYTEST)

slow: $(VENV)/.slow
	$(QUICK) $(PYTEST) -m slow --ignore tests/golden --ignore tests/contracts
	$(PYTEST) -m 'not storm' tests/golden tests/contracts

# Hundreds of kills, saves and faults: before what writes files or runs jobs is released. A short sample is in `make slow`.
storm: $(VENV)/.slow
	$(PYTEST) -m storm

check: $(VENV)/.test
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layering.py

venv: $(VENV)/.test

# The site, from docs/ and the docstrings, in site/: without a network, each warning an error, no link dead.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs --quiet build --strict --clean --site-dir site
	$(BIN)/python tools/site/links.py site
	@echo "Open site/index.html, or, to search as well: $(BIN)/python -m http.server --directory site"

wheel: $(VENV)/.build
	$(BIN)/python -m build --outdir dist

bench: $(VENV)/.test
	$(BIN)/python benchmarks/main_job.py
	$(BIN)/python benchmarks/facade.py
	$(BIN)/python benchmarks/store.py
	$(BIN)/python benchmarks/cloud.py

# The core alone: what `pip install analogjax[plot]` brings.
$(VENV)/.core: pyproject.toml $(CONSTRAINTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[plot]'
	touch $@

$(VENV)/.test: $(VENV)/.core
	$(PIP) -e '.[all]' -r requirements-test.txt
	touch $@

# Nothing is imported to make the site: neither JAX nor analogjax need be installed for it.
$(VENV)/.docs: pyproject.toml $(CONSTRAINTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) $$($(BIN)/python tools/extra.py docs)
	touch $@

$(VENV)/.build: pyproject.toml $(CONSTRAINTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) build
	touch $@

# The slow suite alone runs Keras on TensorFlow and jobs on Ray, which are larger than everything else together, and
# makes the site and the wheel.
$(VENV)/.slow: $(VENV)/.test
	$(PIP) -e '.[all,tf,docs]' -r requirements-test.txt 'ray[default]'
	touch $@

constraints-py%.txt:
	@echo "No versions are known to work with this Python. Take another, as in PYTHON=python3.13 make venv," >&2
	@echo "or try the newest releases: make test-newest" >&2
	@exit 1

clean:
	rm -rf $(VENV) .venv-newest .jax_cache runs build dist site *.egg-info
