"""alignlab: which way of aligning a language model should I use, with my model, data and budget?"""

from __future__ import annotations

__version__ = "0.1.0"
