.PHONY: test fast check format docs

test: check
	python -m pytest -q

fast: check
	python -m pytest -q -m "not slow"

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
