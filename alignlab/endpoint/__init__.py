"""A language model behind an OpenAI-compatible HTTP endpoint: its settings, and asking it. Torch-free."""
