"""Which jobs a command line stands for: combinations, settings that only some methods have, repetitions, folders."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from alignlab.errors import AlignlabError, ConfigError
from alignlab.launch.jobs import address
from alignlab.launch.sweep import planned, workers
from alignlab.models.size import parameters_in


def names(*overrides: str) -> list[tuple[str, int]]:
    return [(job.settings.algo.name, job.settings.seed) for job in planned(overrides).jobs]


def test_every_combination_once_in_the_order_typed() -> None:
    found = planned(["algo=dpo,ipo", "seed=0,1", "algo.beta=0.1,0.3"])
    seen = [(job.settings.algo.name, job.settings.seed, job.settings.algo.beta) for job in found.jobs]
    assert seen == [(name, seed, beta) for name in ("dpo", "ipo") for seed in (0, 1) for beta in (0.1, 0.3)]
    assert [job.settings.stage_seed for job in found.jobs] == [job.settings.seed for job in found.jobs]
    assert found.launcher == "basic"
    assert not found.notes


def test_jobs_are_named_by_what_they_differ_in() -> None:
    found = planned(["algo=dpo,ipo", "seed=0,1", "algo.beta=0.1,0.3", "data.flip=0.2", "algo.lr=1e-4"])
    assert [job.name for job in found.jobs[:3]] == ["dpo beta=0.1 seed 0", "dpo beta=0.3 seed 0", "dpo beta=0.1 seed 1"]
    assert [job.name for job in planned(["algo=ppo,dpo", "algo.steps=5"]).jobs] == ["ppo seed 0", "dpo seed 0"]
    assert [job.name for job in planned(["algo=dpo", "data.flip=0,0.2"]).jobs] == [
        "dpo data.flip=0 seed 0",
        "dpo data.flip=0.2 seed 0",
    ]


def test_seed_variants_equal_jobs_composed_alone() -> None:
    together = planned(["algo=dpo", "seed=3,4", "stage_seed=1"]).jobs[1]
    alone = planned(["algo=dpo", "seed=4", "stage_seed=1"]).jobs[0]
    assert together.settings == alone.settings
    assert together.settings.stage_seed == 1


def test_settings_apply_where_a_method_has_them_and_equal_jobs_run_once() -> None:
    found = planned(["algo=dpo,sft", "algo.beta=0.1,0.3", "seed=0"])
    assert [(job.settings.algo.name, getattr(job.settings.algo, "beta", None)) for job in found.jobs] == [
        ("dpo", 0.1),
        ("dpo", 0.3),
        ("sft", None),
    ]
    assert found.notes == (
        "sft does not have the setting algo.beta and runs without it",
        "1 job would repeat another and is left out",
    )
    assert not [item for item in found.jobs[2].overrides if "beta" in item]


def test_a_setting_of_a_method_other_than_the_default_can_be_fixed() -> None:
    found = planned(["algo=cdpo,sft", "algo.label_smoothing=0.2"])
    assert found.jobs[0].settings.algo.label_smoothing == 0.2
    assert len(found.jobs) == 2


def test_a_setting_that_no_method_has_is_a_mistake() -> None:
    with pytest.raises(AlignlabError, match=r"algo\.betta"):
        planned(["algo=dpo,ipo", "algo.betta=0.1,0.2"])


def test_every_job_is_checked_before_the_first_starts() -> None:
    with pytest.raises(ConfigError, match=r"algo\.lr must lie in"):
        planned(["algo=dpo", "algo.lr=1e-4,-1"])
    with pytest.raises(ConfigError, match="seed=x is not a whole number"):
        planned(["algo=dpo", "seed=0,x"])


def test_a_pattern_takes_policies_that_fit_and_says_what_it_leaves_out() -> None:
    found = planned(["algo=glob([dpo,*_model])", "seed=0"])
    assert [job.settings.algo.name for job in found.jobs] == ["dpo"]
    assert [note.partition(" is left out")[0] for note in found.notes] == ["cost_model", "reward_model"]


def test_the_same_jobs_find_the_same_folder() -> None:
    first, again = (planned(["algo=dpo,ipo", "seed=0,1", *more]).jobs for more in ([], ["store=elsewhere"]))
    other = planned(["algo=dpo,ipo", "seed=0,2"]).jobs
    assert first[0].folder.parent == again[0].folder.parent != other[0].folder.parent
    assert first[0].folder.parent.name.startswith("dpo-ipo-")
    assert [job.folder.name for job in first] == ["0-dpo-seed0", "1-dpo-seed1", "2-ipo-seed0", "3-ipo-seed1"]
    named = planned(["algo=dpo", "seed=0,1", "hydra.sweep.dir=mine", "hydra.sweep.subdir=job${hydra.job.num}"]).jobs
    assert [job.folder for job in named] == [Path("mine/job0"), Path("mine/job1")]


def test_where_and_how_a_job_runs_does_not_enter_its_address() -> None:
    plain, moved, other = (
        planned(["algo=dpo", *more]).jobs[0].settings
        for more in ([], ["store=elsewhere", "workers=3", "trainer.threads=2", "overlap=false"], ["data.pairs=99"])
    )
    assert address(plain) == address(moved) != address(other)


def test_small_models_take_a_core_each_and_others_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alignlab.launch.sweep.cores", lambda: 8)
    monkeypatch.setattr("alignlab.launch.sweep._sees_gpu", lambda: False)
    jobs = planned(["algo=dpo", "seed=range(20)"]).jobs
    assert workers(jobs) == 8
    assert workers(jobs[:3]) == 3
    jobs[7].settings.trainer.accelerator = "gpu"
    assert workers(jobs) == 1, "one that needs the GPU is enough"
    jobs[0].settings.workers = 2
    assert workers(jobs) == 2
    jobs[0].settings.workers, jobs[7].settings.trainer.accelerator = 0, "auto"
    monkeypatch.setattr("alignlab.launch.sweep._sees_gpu", lambda: True)
    assert workers(jobs) == 1


def test_a_model_of_ones_own_may_be_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alignlab.launch.sweep.cores", lambda: 8)
    monkeypatch.setattr("alignlab.launch.sweep._sees_gpu", lambda: False)
    (tmp_path / "config.json").write_text("{}")
    jobs = planned(["algo=dpo", "seed=0,1", "model=hf", f"model.path={tmp_path}"]).jobs
    assert workers(jobs) == 1, "no weights, no size"
    save_file({"a": torch.zeros(1000, 2000), "b": torch.zeros(7)}, tmp_path / "model-1.safetensors")
    save_file({"c": torch.zeros(3000, 999, dtype=torch.bfloat16)}, tmp_path / "model-2.safetensors", {"format": "pt"})
    assert parameters_in(tmp_path) == 4_997_007
    assert workers(jobs) == 2
    save_file({"d": torch.zeros(3000)}, tmp_path / "model-3.safetensors")
    assert workers(jobs) == 1
    (tmp_path / "model-3.safetensors").write_bytes(b"no header")
    assert parameters_in(tmp_path) is None


def test_jobs_that_would_share_a_folder_are_refused() -> None:
    with pytest.raises(ConfigError, match="jobs 0 and 1 would both write to"):
        planned(["algo=dpo", "seed=0,1", "hydra.sweep.subdir=${algo.name}"])


def test_seeds_of_an_experiment_file_stand(tmp_path: Path) -> None:
    (quick,) = planned(["experiment=quick", "stage_seed=3"]).jobs
    assert (quick.settings.seed, quick.settings.stage_seed) == (0, 3)
    first, second = planned(["algo=dpo", "stage_seed=${seed}", "seed=1,2"]).jobs
    assert (first.settings.stage_seed, second.settings.stage_seed) == (1, 2)
