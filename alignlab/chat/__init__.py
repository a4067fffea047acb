"""Talking to the model of a run, beside its SFT version. Nothing here trains or writes anything."""
