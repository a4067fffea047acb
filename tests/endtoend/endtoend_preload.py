"""What every run imports, loaded once by the process that the runs are forked from."""

import alignlab.plugins.ppo.module
import alignlab.plugins.reward_model.module
import alignlab.plugins.sft.module
import torch

import alignlab.__main__
import alignlab.compose
import alignlab.data.config
import alignlab.launch.hydra_main
import alignlab.modules.pairs
import alignlab.run
import alignlab.stages.fingerprint
import alignlab.worlds.desk

torch.set_num_threads(1)
# Parsers and source hashes fill caches that every run would fill again.
alignlab.compose.composed(["algo=ppo", "algo.steps=4", "model.hidden=16"])
for target in ("graph", "evaluated", "trained", "preferences", "reference", "scoring"):
    alignlab.stages.fingerprint.source_hashes(f"alignlab.stages.{target}")
