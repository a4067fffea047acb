"""How runs are started: Hydra's entry, the second process, the plan."""
