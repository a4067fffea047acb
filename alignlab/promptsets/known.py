"""What published sets look like: columns, what each row is, licence, paper, origin. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

BENIGN, LOOKALIKE, HARMFUL = KINDS = ("benign", "lookalike", "harmful")
"""What a prompt is: an ordinary request, a harmless one that looks harmful, a harmful one."""


@dataclass(frozen=True, kw_only=True)
class KnownSet:
    """How to read one published set. Names of columns are compared without regard to case."""

    name: str
    title: str
    prompt: tuple[str, ...]
    """Columns that may hold the prompt; the first that is there is taken."""
    kind: str = ""
    """What every row is; '' where `label` says."""
    label: str = ""
    """Column that says what a row is."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """Value of `label` and the kind it means."""
    context: str = ""
    """Column with text that goes before the prompt, where a row has any."""
    left_out: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Column: (value, reason) of rows that are counted and not used."""
    licence: str = ""
    paper: str = ""
    origin: str = ""
    """Where to get it: repository and file."""
    releases: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of files that were read with this description, and which release each is."""
    subset: str | None = None
    """Its configuration on the hub, where it has several."""
    split: str = "train"
    """Its split on the hub."""


PLAIN = KnownSet(
    name="",
    title="Any file with the columns prompt and kind",
    prompt=("prompt",),
    label="kind",
    kinds={kind: kind for kind in KINDS},
)
"""A set of one's own: prompt is text or a conversation, kind is harmful, lookalike or benign."""

_JBB = KnownSet(
    name="jbb",
    title="JailbreakBench: 100 harmful behaviours",
    prompt=("goal",),
    kind=HARMFUL,
    licence="MIT",
    paper="arXiv:2404.01318",
    origin="huggingface.co/datasets/JailbreakBench/JBB-Behaviors, harmful-behaviors.csv",
    releases={"f4eb6679618304186b87fc7394724cf9b68da96339cdb2cdcf7710b1e70b2ef5": "the 100 behaviours without targets"},
    subset="behaviors",
    split="harmful",
)

SETS: Mapping[str, KnownSet] = {
    known.name: known
    for known in (
        KnownSet(
            name="xstest",
            title="XSTest v2: 250 safe prompts that look harmful, 200 unsafe contrasts",
            prompt=("prompt",),
            label="label",
            kinds={"safe": LOOKALIKE, "unsafe": HARMFUL},
            licence="CC BY 4.0",
            paper="arXiv:2308.01263",
            origin="github.com/paul-rottger/exaggerated-safety, xstest_prompts.csv",
            releases={
                "11783fb294ed017473ee53c207d71f2161c7672c8d0b037501e78387f801cb5a": "v2, xstest_prompts.csv with labels"
            },
            split="test",
        ),
        KnownSet(
            name="strongreject",
            title="StrongREJECT: 313 forbidden prompts",
            prompt=("forbidden_prompt", "prompt"),
            kind=HARMFUL,
            licence="MIT",
            paper="arXiv:2402.10260",
            origin="github.com/alexandrasouly/strongreject, strongreject_dataset.csv",
            releases={"4dd70357e4ff8b5d0ba5ebafecab5d6dd5633ce8046e3dd1c8bd93e64de44381": "strongreject_dataset.csv"},
        ),
        _JBB,
        replace(
            _JBB,
            name="jbb_benign",
            title="JailbreakBench: 100 benign behaviours on the same themes",
            kind=LOOKALIKE,
            origin="huggingface.co/datasets/JailbreakBench/JBB-Behaviors, benign-behaviors.csv",
            releases={},
            split="benign",
        ),
        KnownSet(
            name="harmbench",
            title="HarmBench: textual behaviours, standard and contextual",
            prompt=("behavior",),
            kind=HARMFUL,
            context="contextstring",
            left_out={
                "functionalcategory": ("copyright", "asks for protected text, which a judge of refusals cannot judge")
            },
            licence="MIT",
            paper="arXiv:2402.04249",
            origin="github.com/centerforaisafety/HarmBench, harmbench_behaviors_text_all.csv",
        ),
        KnownSet(
            name="advbench",
            title="AdvBench: 520 harmful behaviours, many of them alike",
            prompt=("goal",),
            kind=HARMFUL,
            licence="MIT",
            paper="arXiv:2307.15043",
            origin="github.com/llm-attacks/llm-attacks, data/advbench/harmful_behaviors.csv",
        ),
    )
}
"""Sets that are known by name; any other name stands for a file of `PLAIN`."""
