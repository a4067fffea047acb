"""Shipped methods, imported as `alignlab.plugins.<name>`.

In a checkout they live in the top-level `plugins/` folder; in a wheel they are here.
"""

from pathlib import Path

_checkout = Path(__file__).resolve().parents[2]
if (_checkout / "pyproject.toml").is_file() and (_checkout / "conf" / "config.yaml").is_file():
    __path__.append(str(_checkout / "plugins"))
