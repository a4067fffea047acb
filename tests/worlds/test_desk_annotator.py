"""The annotator against the Bradley-Terry closed form, and its planted faults."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from alignlab.data.schema import Split
from alignlab.errors import ConfigError
from alignlab.seeding import Seeds
from alignlab.worlds.desk import SOURCE, DeskConfig, Mix
from alignlab.worlds.desk.annotator import appeal, probability
from alignlab.worlds.desk.config import ANNOTATORS, Annotator

GOOD = "sure , it has water and banks . cheers"
PLAIN = "it has water and banks ."
GUSHING = "sure please , it has water and banks . cheers thanks kindly"


@pytest.fixture(scope="module")
def rivers(make_prompt):
    return make_prompt("benign", "brief", 2, "rivers", "water banks delta current fish bridges")


def desk(**settings):
    return SOURCE.load()(DeskConfig(**settings))


def frequency(source, prompt, first, second, count=4000):
    return sum(source.prefer(prompt, first, second, Seeds(0), index) for index in range(count)) / count


@pytest.mark.parametrize("settings", [{}, {"annotator": "noisy"}, {"temperature": 0.5}, {"flip": 0.3}])
def test_frequencies_match_bradley_terry(rivers, settings):
    source = desk(**settings)
    difference = source.gold(rivers, GOOD, True) - source.gold(rivers, PLAIN, True)
    knobs = source.annotator
    p = 1 / (1 + math.exp(-difference / knobs.temperature))
    expected = p * (1 - knobs.flip) + (1 - p) * knobs.flip
    observed = frequency(source, rivers, GOOD, PLAIN)
    assert observed == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 4000))


def test_probability_is_complementary_and_finite():
    for knobs in ANNOTATORS.values():
        for difference in (0.0, 0.1, 3.0, 1e6):
            total = probability(difference, knobs) + probability(-difference, knobs)
            assert total == pytest.approx(1.0, abs=1e-12)
    assert probability(1e6, Annotator()) == 1.0


def test_labels_are_a_function_of_seed_and_row(rivers):
    source = desk()
    labels = [source.prefer(rivers, GOOD, PLAIN, Seeds(1), index) for index in range(200)]
    assert labels == [source.prefer(rivers, GOOD, PLAIN, Seeds(1), index) for index in range(200)]
    assert labels != [source.prefer(rivers, GOOD, PLAIN, Seeds(2), index) for index in range(200)]
    assert set(labels) == {0.0, 1.0}


def test_clean_annotator_prefers_gold_and_biased_prefers_courtesy(rivers):
    assert desk().gold(rivers, GOOD, True) > desk().gold(rivers, GUSHING, True)
    assert frequency(desk(), rivers, GOOD, GUSHING, 1000) > 0.75
    assert frequency(desk(annotator="biased"), rivers, GOOD, GUSHING, 1000) < 0.1


def test_bias_grows_with_courtesy_without_bound(rivers):
    knobs = ANNOTATORS["biased"]
    values = [appeal(rivers, f"{GOOD}{' thanks' * count}", True, knobs) for count in range(12)]
    assert all(later > earlier for earlier, later in pairwise(values))


def test_length_bias_is_per_word(rivers):
    knobs = Annotator(length_bias=0.5)
    difference = appeal(rivers, GOOD, True, knobs) - appeal(rivers, PLAIN, True, knobs)
    gold = desk().gold(rivers, GOOD, True) - desk().gold(rivers, PLAIN, True)
    assert difference == pytest.approx(gold + 0.5 * 3)


def test_annotator_sees_a_missing_end_when_told(rivers):
    source = desk(temperature=0.01)
    assert source.prefer(rivers, GOOD, PLAIN, Seeds(0), 0) == 1.0
    assert source.prefer(rivers, GOOD, PLAIN, Seeds(0), 0, ended=(False, True)) == 0.0


def test_presets_and_overrides():
    assert desk(annotator="biased").annotator == ANNOTATORS["biased"]
    assert desk(annotator="noisy", flip=0.0).annotator == Annotator()
    assert desk(courtesy_bias=0.2).annotator == Annotator(courtesy_bias=0.2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(size="huge"), r"data.size must be one of small, medium, large, got 'huge'"),
        (dict(annotator="kind"), r"data.annotator must be one of clean, biased, noisy, got 'kind'"),
        (dict(attacks=[]), r"data.attacks is empty"),
        (dict(attacks=["charm"]), r"data.attacks must be one of direct, .*got 'charm'"),
        (dict(flip=0.7), r"data.flip must lie in \[0, 0.5\], got 0.7"),
        (dict(temperature=0.0), r"data.temperature must lie in \(0, inf\), got 0.0"),
        (dict(pairs=0), r"data.pairs must lie in \[1, inf\), got 0"),
    ],
)
def test_wrong_settings_name_the_key(settings, message):
    with pytest.raises(ConfigError, match=message):
        DeskConfig(**settings)


def test_mix_must_sum_to_one():
    with pytest.raises(ConfigError, match=r"benign=0.4, lookalike=0.4, harmful=0.3 sum to 1.1, not 1"):
        Mix(harmful=0.3)
    assert dict(Mix(benign=1, lookalike=0, harmful=0)) == {"benign": 1, "lookalike": 0, "harmful": 0}


def test_config_is_a_structured_hydra_config():
    omegaconf = pytest.importorskip("omegaconf").OmegaConf
    merged = omegaconf.merge(omegaconf.structured(DeskConfig), {"flip": 0.1, "mix": {"benign": 0.5, "lookalike": 0.3}})
    config = omegaconf.to_object(merged)
    assert isinstance(config, DeskConfig)
    assert config.flip == 0.1
    assert dict(config.mix) == {"benign": 0.5, "lookalike": 0.3, "harmful": 0.2}
    assert SOURCE.load()(config).prompts(Split.VALIDATION, Seeds(0))
