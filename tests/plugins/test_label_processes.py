"""Two processes joined by gloo learn what one learns: quantities of the whole batch are those of all processes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from alignlab.plugins.bco.config import BCOConfig
from alignlab.plugins.bco.module import BCOModule
from alignlab.plugins.filtered_sft.config import FilteredSFTConfig
from alignlab.plugins.filtered_sft.module import FilteredSFTModule
from alignlab.plugins.kto.config import KTOConfig
from alignlab.plugins.kto.module import KTOModule
from alignlab.plugins.spin.config import SPINConfig
from alignlab.plugins.spin.module import SPINModule
from small import Rows, gpt2, parts, texts, weights

from alignlab.data.batch import pad
from alignlab.data.module import PreferenceData, mismatch
from alignlab.data.tokens import DemonstrationTokens, LabelTokens
from alignlab.method import Data
from alignlab.models.policy import Policy
from alignlab.rollout.engine import build_engine
from alignlab.rollout.sampling import Sampling
from alignlab.seeding import Seeds

ROWS = 7  # odd: one process gets 4 rows, the other 3
SETTINGS: dict[str, Any] = dict(max_grad_norm=0.0, batch_size=ROWS, lr=3e-3, warmup=0.0)
Made = tuple[L.LightningModule, PreferenceData]


class Keep(L.Callback):
    """Writes what each process ends with: the main process sees nothing of the others'."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        found = dict(weights=weights(pl_module), rows=trainer.logger.rows, buffers=dict(pl_module.named_buffers()))
        torch.save(found, self.folder / f"{trainer.world_size}-{trainer.global_rank}.pt")


def tokens(kind: type, **columns: Any) -> list[Any]:
    ids = [(np.array(prompt, np.int32), np.array(reply, np.int32)) for prompt, reply in texts(ROWS)]
    more = [{name: values[i] for name, values in columns.items()} for i in range(ROWS)]
    return [kind(row=i, prompt=p, completion=c, truncated=False, **more[i]) for i, (p, c) in enumerate(ids)]


def labelled(make: Callable[..., Any], config: Any, **more: Any) -> Made:
    policy, rows = Policy(gpt2()), tokens(LabelTokens, desirable=[i % 3 != 2 for i in range(ROWS)])
    texts_of = [[(row.prompt, row.completion) for row in rows], mismatch(rows, 32)]
    with torch.no_grad():
        logps = [pad(each, 0).gather(policy(pad(each, 0)).logps) for each in texts_of]
    known = dict(reference=logps[0], mismatched=texts_of[1], mismatched_reference=logps[1])
    data = PreferenceData(Data.LABELS, rows, ROWS, seeds=Seeds(0), epochs=3, pad_id=0, **known)

    def auxiliary(step: int, rank: int = 0, world: int = 1) -> Any:
        return PreferenceData(Data.LABELS, rows, 4, seeds=Seeds(0), steps=9).train_dataloader().batch(step)

    return make(config, parts(policy, micro=2, total=3, auxiliary=auxiliary, **more)), data


def spin() -> Made:
    rows, config = tokens(DemonstrationTokens), SPINConfig(**SETTINGS, reference_every=2)
    data = PreferenceData(Data.DEMONSTRATIONS, rows, ROWS, seeds=Seeds(0), epochs=3, pad_id=0)

    def engine(policy: Policy, temperature: float = 1.0) -> Any:
        return build_engine(policy.model, Sampling(max_new_tokens=5), (0,), 0)

    more = dict(reference=Policy(gpt2()), objective=("spin", config), new_engine=engine)
    return SPINModule(config, parts(Policy(gpt2()), micro=2, total=3, **more)), data


METHODS = {
    "kto": lambda: labelled(KTOModule, KTOConfig(**SETTINGS, beta=1.0)),
    "bco": lambda: labelled(BCOModule, BCOConfig(**SETTINGS, beta=1.0, density_ratio=True)),
    "filtered_sft": lambda: labelled(FilteredSFTModule, FilteredSFTConfig(**SETTINGS)),
    "spin": spin,
}


def run(made: Made, folder: Path, **options: Any) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    quiet = dict(enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    more = dict(max_epochs=1, log_every_n_steps=1, use_distributed_sampler=False, default_root_dir=folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = L.Trainer(accelerator="cpu", logger=Rows(), callbacks=[Keep(folder)], **quiet, **more, **options)
        trainer.fit(made[0], datamodule=made[1])


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch has no gloo")
@pytest.mark.parametrize("name", sorted(METHODS))
def test_two_processes_learn_what_one_learns(name: str, tmp_path: Path) -> None:
    run(METHODS[name](), tmp_path, devices=1)
    run(METHODS[name](), tmp_path, devices=2, strategy="ddp_fork")
    one, first, second = (torch.load(tmp_path / f"{each}.pt") for each in ("1-0", "2-0", "2-1"))
    for key, value in first["weights"].items():
        assert torch.equal(second["weights"][key], value), f"{key} differs between the two processes"
    for key, value in one["buffers"].items():
        torch.testing.assert_close(first["buffers"][key], value, rtol=1e-6, atol=1e-9, msg=key)
    for ours, theirs in zip(one["rows"], first["rows"], strict=True):
        assert theirs == pytest.approx(ours, abs=1e-6)
    if name == "kto":
        assert one["rows"][-1]["train/reference_point"] > 1e-3
    if name == "bco":
        assert abs(one["rows"][-1]["train/reward_shift"]) > 1e-3
        assert bool((one["buffers"]["ratios"] != 1).any())
