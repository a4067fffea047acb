.PHONY: test fast check format docs

# Two processes: each holds torch, so that more would rather fill the memory than save time.
WORKERS ?= 2

test: check
	python -m pytest -q -n $(WORKERS) --dist loadfile

fast: check
	python -m pytest -q -m "not slow" -n $(WORKERS) --dist loadfile

check:
	ruff check .
	ruff format --check .
	mypy
	python -m alignlab.docs --check

format:
	ruff check --fix .
	ruff format .

docs:
	python -m alignlab.docs
