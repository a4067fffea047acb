"""Training steps of alignlab, of TRL and of bare loops, taking turns on the same work."""
