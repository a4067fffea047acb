"""The statistics behind a comparison of runs: arrays in, estimates with intervals and plain notes out.

Pure functions of numpy arrays. Nothing here knows a method, a file, a model or a page; docs/statistics.md explains
the choices and prints how often each interval covered the truth in simulation.
"""
