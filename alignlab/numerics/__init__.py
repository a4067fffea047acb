"""Pure functions of tensors. They import torch and nothing else of alignlab.

Conventions, for every function here: natural logarithms; arrays over tokens have shape (B, T) and entry t
belongs to token t (its log-probability given the tokens before it, the value of the state it was chosen in);
`mask` is 1 on completion tokens, the end token included, and 0 elsewhere.
"""
