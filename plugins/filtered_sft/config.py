"""Settings of filtered SFT."""

from dataclasses import dataclass

from alignlab.method import OfflineConfig


@dataclass(kw_only=True)
class FilteredSFTConfig(OfflineConfig):
    """Nothing beyond optimisation."""

    method: str = "filtered_sft"
    name: str = "filtered_sft"
