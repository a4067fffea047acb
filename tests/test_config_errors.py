"""Every mistake in a request is met before anything is loaded: exit code 2, key, value, and what to type instead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import ROOT, alignlab
from test_surface import needed

from alignlab import registry
from alignlab.__main__ import main
from alignlab.compose import composed, jobs
from alignlab.config import typed
from alignlab.errors import AlignlabError

CASES = [
    # Names of options.
    ("algo=pp0", r"unknown method algo=pp0", r"did you mean 'ppo'\?"),
    ("algo=", r"algo= names no method", r"`python -m alignlab methods` lists all \d+"),
    ("data=dsk", r"unknown data source data=dsk", r"did you mean 'desk'\?"),
    ("trainer=gpuu", r"unknown trainer trainer=gpuu", r"did you mean 'gpu'\? \(known: cpu, default, gpu\)"),
    ("reward=gld", r"unknown reward reward=gld", r"did you mean 'gold'"),
    ("reward.kind=xx", r"unknown reward 'xx'", r"known: composite, directory, ensemble, gold, learned, length_pen"),
    ("judge=phrase", r"unknown judge judge=phrase", r"did you mean 'phrases'"),
    ("algo@stages.sft=sfd", r"unknown method algo=sfd", r"did you mean 'sft'"),
    ("experiment=nothing", r"unknown experiment experiment=nothing", r"known|none"),
    # Names of settings.
    ("algo.bta=0.1", r"unknown setting algo\.bta", r"did you mean algo\.beta\?"),
    ("data.pair=10", r"unknown setting data\.pair$", r"did you mean data\.pairs\?"),
    ("sed=1", r"unknown setting sed$", r"did you mean seed\?"),
    ("modle=tiny", r"unknown setting modle$", r"did you mean model\?"),
    ("beta=0.1", r"unknown setting beta$", r"did you mean algo\.beta\?"),
    ("stages.sft.epoch=3", r"unknown setting stages\.sft\.epoch$", r"did you mean stages\.sft\.epochs\?"),
    ("algo=sft algo.clip=0.2", r"unknown setting algo\.clip", r"`python -m alignlab methods sft` explains"),
    ("trainer.zzz=1", r"unknown setting trainer\.zzz", r"trainer has accelerator, devices"),
    ("+bla=1", r"unknown setting bla", r"leave it out"),
    ("+algo.bla=1", r"unknown setting algo\.bla", r"leave it out"),
    ("hydra.foo=1", r"unknown setting hydra\.foo", r"`--cfg hydra` prints"),
    ("streams.foo=1", r"unknown seed stream streams\.foo", r"choose from world, init"),
    ("algo=dpo budget=sampled_tokens budget.limit=9", r"dpo samples nothing while it trains", r"budget=flops"),
    ("algo=best_of_n budget=steps budget.limit=9", r"best_of_n acts at inference", r"budget=labels"),
    ("budget=flops", r"budget.* has no (limit|value)", r"budget\.limit="),
    ("budget=stepz", r"unknown budget budget=stepz", r"did you mean 'steps'"),
    # Types.
    ("algo.beta=abc", r"algo\.beta=abc: 'abc' is not a number", r"Price of KL.*Without this override it is algo.beta="),
    ("seed=x", r"seed=x: 'x' is not a whole number", r"it is seed=0"),
    ("data.pairs=1.5", r"data\.pairs=1\.5: '1\.5' is not a whole number", r"it is data.pairs=8000"),
    ("overlap=maybe", r"overlap=maybe: 'maybe' is neither true nor false", r"it is overlap=true"),
    ("keep=bst", r"keep=bst: must be one of final, best, none", r"it is keep=final"),
    ("data.attacks=direct", r"data\.attacks=direct: must be a list, as in \[a,b\]", r"\[direct,prefix,roleplay\]"),
    ("model.hidden=null", r"model\.hidden=null: cannot be null", r"it is model.hidden=64"),
    ("trainer.precision=[1]", r"trainer\.precision=\[1\]: must be one text", r"it is trainer.precision=32-true"),
    ("data.mix=3", r"data\.mix=3: holds several settings", r"data\.mix\.benign="),
    # Ranges.
    ("algo.beta=-1", r"algo\.beta must lie in \[0, inf\), got -1", r"The default is algo\.beta="),
    ("evaluation.temperature=-1", r"evaluation\.temperature must lie in \[0, inf\), got -1", r"0 is greedy"),
    ("stages.sft.lr=-3", r"stages\.sft\.lr must lie in \(0, inf\), got -3", r"stages\.sft\.lr="),
    ("stages.reward.epochs=0", r"stages\.reward\.epochs must lie in \[1, inf\), got 0", r"stages\.reward\.epochs="),
    ("rollout.max_new_tokens=0", r"rollout\.max_new_tokens must lie in \[1, inf\), got 0", r"end token included"),
    ("reward.pairs_check=2", r"reward\.pairs_check must lie in \[0\.5, 1\], got 2", r"pair accuracy"),
    ("trainer.devices=0", r"trainer\.devices must lie in", r"trainer\.devices=1"),
    ("seed=-1", r"seed must not be negative, got -1", r"pass seed=0"),
    ("algo.schedule=foo", r"algo\.schedule must be constant, linear or cosine, got 'foo'", r"algo\.schedule=linear"),
    ("stages.sft.schedule=foo", r"stages\.sft\.schedule must be", r"stages\.sft\.schedule=linear"),
    ("tracking.mode=on", r"tracking\.mode must be offline or online, got 'on'", r"pass tracking\.mode=offline"),
    ("reward=ensemble reward.members=1", r"reward\.members must lie in \[2, inf\), got 1", r"reward\.members=3"),
    ("reward=length_penalised reward.coef=-1", r"reward\.coef must lie in \[0, inf\), got -1", r"reward\.coef=0\.01"),
    # Combinations.
    ("model=hf", r"model\.path has no value", r"directory that holds a model.*Pass model\.path="),
    ("data=hh", r"data\.path has no value", r"transcripts.*Pass data\.path="),
    ("data.mix.benign=0.9", r"data\.mix: the shares benign=0\.9.* sum to 1\.5, not 1", r"sum to 1, as in \{benign"),
    ("data.demonstration_mix.benign=2", r"data\.demonstration_mix: mix\.benign must lie in \[0, 1\], got 2", "default"),
    ("data.attacks=[]", r"data\.attacks is empty", r"data\.attacks=\[direct\]"),
    ("model.heads=3", r"model\.hidden=64 must be a multiple of 2 x model\.heads=6", r"try model\.hidden=60"),
    ("data.source=hh", r"data\.source=hh does not fit", r"choose a source by data=hh"),
    ("reward=directory", r"reward\.path has no value", r"one label and its tokenizer.*Pass reward\.path="),
    ("reward.kind=gold", r"reward\.kind=gold does not fit the settings of reward", r"choose a reward by reward=gold"),
    ("reward=gold reward.scale=true", r"reward\.scale=true .* reward=gold reads none", r"pass reward\.scale=false"),
    ("algo=ppo reward=ensemble", r"algo\.value_init=reward needs one .* reads 3", r"algo\.value_init=sft"),
    ("algo=ppo reward=gold", r"algo\.value_init=reward needs a reward model, and reward=gold is", r"value_init=sft"),
    ("algo=dera algo.policy.beta=-1", r"algo\.policy\.beta must lie in \(0, inf\), got -1", r"algo\.policy\.beta="),
    ("algo=dera algo.policy.bta=1", r"unknown setting algo\.policy\.bta", r"did you mean algo\.policy\.beta\?"),
    ("algo=dera algo.policy=ipo", r"algo\.policy is not a method's configuration", r"choose one by algo@algo\.policy="),
    ("algo=dera algo.policy=null", r"algo\.policy names no method", r"choose one by algo@algo\.policy="),
    ("algo=dera algo@algo.policy=expo", r"algo\.policy\.method=expo trains no policy", r"another by algo@"),
    ("algo=ppo algo.policy.beta=1", r"unknown setting algo\.policy", r"`python -m alignlab methods ppo`"),
    ("algo.method=dpo", r"algo\.method=dpo does not fit .* PPOConfig", r"choose a method by algo=dpo"),
    # Grammar.
    ("seed=[1", r"cannot read 'seed=\[1'", r"close every bracket"),
    ("=3", r"cannot read '=3'", r""),
    ("ppo", r"cannot read 'ppo': settings are written key=value", r"did you mean algo=ppo\?"),
    ("method", r"cannot read 'method': it is neither a verb nor key=value", r"did you mean the verb 'methods'\?"),
    ("nonsense", r"cannot read 'nonsense'", r"`python -m alignlab --help`"),
    ("algo=ppo,dpo", r"algo=ppo,dpo names several values", r"add -m"),
    ("+algo=dpo", r"algo has a value already", r"without the \+"),
    ("~algo", r"~algo removes what a run needs", r"leave it out"),
    ("--foo", r"unknown flag --foo", r"`--hydra-help` lists flags"),
    ("--cfg nothing", r"argument --cfg/-c: invalid choice: 'nothing'", r"`python -m alignlab --hydra-help`"),
    ("--cfg job algo=pp0", r"unknown method algo=pp0", r"did you mean 'ppo'"),
    ("+sweep=kl_frontier", r"\+sweep=kl_frontier describes several jobs", r"add -m"),
]


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No run may begin, and nothing may be written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    registry.forget()
    monkeypatch.setattr("hydra.main", lambda **options: pytest.fail("Hydra was started"))


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a request that cannot work prints."""
    assert main(arguments) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in error
    assert not list(Path.cwd().iterdir())
    return error


@pytest.mark.parametrize(("request_", "message", "remedy"), CASES, ids=[case[0] for case in CASES])
def test_mistake_is_named_with_its_remedy(
    request_: str, message: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(capsys, *request_.split())
    assert re.search(f"^error: {message}", error, re.MULTILINE), error
    assert re.search(f"^  remedy: .*{remedy}", error, re.MULTILINE), error
    assert len(error) < 600


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-m", "algo=ppo,dpo", "seed=0,-1"), "seed must not be negative, got -1"),
        (("-m", "algo=ppo,dpp"), "unknown method algo=dpp"),
        (("algo=ppo,dpo", "-m", "algo.clippp=0.1"), "unknown setting algo.clippp"),
        (("-m", "algo=ppo", "data.pairs=10,-5"), "data.pairs must lie in [1, inf), got -5"),
        (("-m", "algo=ppo,dpo", "algo.beta=0.1,abc"), "algo.beta=abc: 'abc' is not a number"),
        (("-m", "+sweep=kl_frontier", "algo.label_smoothing=2"), "algo.label_smoothing must lie in [0, 0.5"),
        (("-m", "algo=[ppo"), "cannot read 'algo=[ppo'"),
    ],
    ids=str,
)
def test_one_bad_job_stops_a_sweep_before_its_first(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"error: {message}" in refused(capsys, *arguments)


def test_sweep_files_name_their_jobs() -> None:
    assert len(jobs(["+sweep=kl_frontier", "seed=0,1"]).jobs) == 2 * 4 * 2
    assert jobs(["seed=1"]).jobs == [["seed=1"]]


@pytest.mark.parametrize("path", sorted((ROOT / "conf" / "sweep").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_sweep_composes(path: Path) -> None:
    found = jobs([f"+sweep={path.stem}"]).jobs
    assert len(found) > 1
    typed(composed(found[0]))
    typed(composed(found[-1]))


@pytest.mark.parametrize(
    "path", sorted((ROOT / "conf").glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_every_shipped_option_composes(path: Path) -> None:
    group, name = path.parent.name, path.stem
    if group == "constitution":
        typed(composed([f"annotator={'rules' if name == 'desk' else 'policy'}", f"constitution@annotator={name}"]))
        return
    if name == "desk-tiny-ranges":
        assert typed(composed([])).ranges["lr"][0] < typed(composed([])).ranges["lr"][1]
        return
    if group == "tune":
        assert typed(composed([f"+tune={name}"])).trials > 0
        return
    if group in ("sweep", "tuned"):
        choice = zip(("data", "model", "algo"), name.split("-"), strict=False) if group == "tuned" else ()
        typed(composed(["=".join(each) for each in choice]))
        return
    typed(composed([f"{group}={name}", *needed(group, name), *(["algo=dpo"] if group == "reward" else [])]))


@pytest.mark.parametrize(
    ("overrides", "key", "value"),
    [
        (["streams.data=7"], "streams", {"data": 7}),
        (["streams={data: 7, init: 1}"], "streams", {"data": 7, "init": 1}),
    ],
)
def test_free_keys_can_be_set(overrides: list[str], key: str, value: object) -> None:
    assert getattr(typed(composed(overrides)), key) == value


def test_columns_of_files_can_be_renamed() -> None:
    settings = typed(composed(["data=files", "data.path=x", "data.columns={prompt: question, chosen: better}"]))
    assert settings.data.columns == {"prompt": "question", "chosen": "better"}


def test_mistake_in_a_file_is_placed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AlignlabError) as caught:
        composed([f"hydra.searchpath=[file://{_with_bad_option(tmp_path)}]", "trainer=odd"])
    assert "unknown setting" in caught.value.message
    assert "acelerator" in caught.value.message
    assert "trainer/odd.yaml" in caught.value.message


def _with_bad_option(folder: Path) -> Path:
    (folder / "trainer").mkdir()
    (folder / "trainer" / "odd.yaml").write_text("acelerator: cpu\n")
    return folder


@pytest.mark.slow
def test_process_exits_with_two_and_one_screen(tmp_path: Path) -> None:
    done = alignlab("algo=pp0", cwd=tmp_path, path=(ROOT,))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: unknown method algo=pp0\n  remedy: " + done.stderr.partition("remedy: ")[2]
