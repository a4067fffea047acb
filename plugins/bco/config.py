"""Settings of BCO."""

from dataclasses import dataclass, replace

from alignlab.method import Data, Needs, OfflineConfig, param


@dataclass(kw_only=True)
class BCOConfig(OfflineConfig):
    """The scale of the implicit reward, the memory of the threshold, and whether prompts are reweighted."""

    method: str = "bco"
    name: str = "bco"
    beta: float = param(
        0.01,
        "Nats of log-ratio to units of implicit reward; larger stays closer to the reference.",
        low=0,
        open_low=True,
        search=(0.003, 1.0, "log"),
    )
    shift_memory: float = param(
        1.0, "Share of the threshold's past that an update keeps; 1 is the mean of all rewards so far.", low=0, high=1
    )
    density_ratio: bool = param(
        False, "Weigh undesirable rows by how much likelier their prompts are among desirable ones."
    )

    def needs(self, declared: Needs) -> Needs:
        """Density ratios are fitted on the labels before the first update."""
        return replace(declared, auxiliary=Data.LABELS) if self.density_ratio else declared
