# Needs Python 3.11 or newer and make; everything else is installed into .venv from constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
export HF_HUB_OFFLINE = 1
export RAY_USAGE_STATS_ENABLED = 0

.PHONY: demo full test check install constraints clean

demo: .venv/installed  ## the sample crawl from WARC to Parquet by language, offline, through Ray
	$(BIN)/python data/sample/wrap.py data/sample/pages data/sample/warc
	$(BIN)/jql run pipelines/demo.yaml

full: .venv/installed-ml  ## the whole method on the sample: raters, judges, heads, crawl, cut, models; offline, nothing asked
	$(BIN)/python data/sample/wrap.py data/sample/pages data/sample/warc
	$(BIN)/python data/sample/judge.py data/sample/pages data/sample/judged
	$(BIN)/jql truth agree data/sample/judged/ratings.jsonl
	$(BIN)/jql truth aggregate data/sample/judged/ratings.jsonl --to runs/truth.parquet
	$(BIN)/jql run pipelines/full.yaml
	$(BIN)/jql report runs/full

test: .venv/installed-dev /usr/bin/chromium  ## the whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadgroup

check: .venv/installed-dev  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: .venv/installed  ## only the set-up

.venv/bin/uv: constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt uv
	touch $@

.venv/installed: .venv/bin/uv pyproject.toml constraints.txt
	$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e .
	touch $@

.venv/installed-ml: .venv/installed
	$(BIN)/python -m pip install -q -c constraints.txt torch # by pip: it knows where this machine keeps its build
	$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[eval,ml,report]'
	touch $@

.venv/installed-dev: .venv/installed-ml
	$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[dev]'
	touch $@

constraints: .venv/bin/uv  ## pin anew what pyproject.toml asks for
	$(BIN)/uv pip compile -q --no-header --no-annotate --all-extras --python-version 3.11 --upgrade pyproject.toml -o constraints.txt

/usr/bin/chromium: # the browser of the tests, where this machine can be given one; without it they are skipped
	-command -v chromium || (apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium >/dev/null)

clean:  ## remove runs and the environment
	rm -rf runs .venv data/sample/warc
