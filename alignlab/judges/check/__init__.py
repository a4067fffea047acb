"""`python -m alignlab judge-check`: how far judges of refusals agree with people."""
