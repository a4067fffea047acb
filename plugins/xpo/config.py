"""Settings of XPO."""

from dataclasses import dataclass

from alignlab.method import OnlinePairConfig, check_choices, param


@dataclass(kw_only=True)
class XPOConfig(OnlinePairConfig):
    """The optimism term."""

    method: str = "xpo"
    name: str = "xpo"
    objective: str = param("dpo", "Preset whose pair objective is minimised beside the optimism term.")
    group_size: int = param(1, "Completions of one prompt by the policy; each prompt is one comparison.", low=1, high=1)
    alpha: float = param(
        1e-5,
        "Weight of log pi of the reference's sample, in loss per nat; 0 is online DPO against the reference.",
        low=0,
        search=(1e-6, 1e-2, "log"),
    )
    alpha_schedule: str = param("linear", "Course of alpha over the run: constant, or linear to 0.")

    def __post_init__(self) -> None:
        """Ranges, then the choice of alpha's course."""
        super().__post_init__()
        check_choices(self, alpha_schedule=("constant", "linear"))
