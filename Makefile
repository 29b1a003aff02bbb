# Two commands do everything on a fresh machine: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: demo test slow check venv bench clean

demo: $(VENV)/.core
	@mkdir -p runs
	$(BIN)/analogjax train --dataset FashionMNIST --fallback-digits --epochs 5 \
	  --compilation-cache .jax_cache --plot runs/demo.png
	@echo "The curves are in runs/demo.png."

# Nearly all the time of the tests is compilation, and this halves it. `make slow` compiles as users do, and repeats so
# what compares devices with aihwkit and with their own law.
QUICK := --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false

test: $(VENV)/.test
	XLA_FLAGS="$(QUICK) $(XLA_FLAGS)" $(BIN)/python -m pytest -n 2 --dist worksteal -q

slow: $(VENV)/.slow
	$(BIN)/python -m pytest -n 2 --dist worksteal -q -m slow
	$(BIN)/python -m pytest -n 2 --dist worksteal -q tests/golden tests/contracts

check: $(VENV)/.test
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layering.py

venv: $(VENV)/.test

bench: $(VENV)/.test
	$(BIN)/python benchmarks/main_job.py
	$(BIN)/python benchmarks/facade.py
	$(BIN)/python benchmarks/store.py
	$(BIN)/python benchmarks/cloud.py

# The core alone: what `pip install analogjax[plot]` brings.
$(VENV)/.core: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[plot]'
	touch $@

$(VENV)/.test: $(VENV)/.core
	$(PIP) -e '.[all]' -r requirements-test.txt
	touch $@

# The slow suite alone runs Keras on TensorFlow and jobs on Ray, which are larger than everything else together.
$(VENV)/.slow: $(VENV)/.test
	$(PIP) -e '.[all,tf]' -r requirements-test.txt 'ray[default]'
	touch $@

clean:
	rm -rf $(VENV) .jax_cache runs build *.egg-info
