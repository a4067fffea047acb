"""Settings of supervised fine-tuning."""

from dataclasses import dataclass

from alignlab.method import OfflineConfig


@dataclass(kw_only=True)
class SFTConfig(OfflineConfig):
    """Nothing beyond optimisation."""

    method: str = "sft"
    name: str = "sft"
