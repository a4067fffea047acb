"""Sampling completions from a policy: engines, and the batch they yield.

`engine.build_engine` chooses an engine for a model; `batch` holds what sampling takes and yields; `decode` is
the loop the in-process engines share.
"""
