"""The stage graph of a run, its stages, and the content-addressed store they live in."""
