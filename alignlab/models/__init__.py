"""Policies, scorers and frozen copies over any causal language model of transformers."""
