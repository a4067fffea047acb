"""Adversarial transformations of real text, and an attacker that keeps up the pressure over several turns.

Each attack is a pure function (messages, rng) -> messages, small enough to read, after a paper that its docstring
names. None changes what is asked, none ships anything harmful, and none searches: they are drawn, so that attempts
at one goal are independent. `kinds` declares them, `attempts` applies them.
"""

from alignlab.attacks.kinds import ATTACKER, ATTACKS

__all__ = ["ATTACKER", "ATTACKS"]
