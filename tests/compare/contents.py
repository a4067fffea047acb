"""Comparisons as they come out of real runs, made up by formulas and one seeded generator; hostile texts among them."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

METHODS = (
    # preset, family, gold gain reached, KL at beta 0.1, breach, over-refusal
    ("ppo", "own samples", 0.95, 9.0, 0.12, 0.10),
    ("rloo", "own samples", 0.92, 8.0, 0.13, 0.11),
    ("grpo", "own samples", 0.90, 10.0, 0.16, 0.09),
    ("reinforce_pp", "own samples", 0.84, 7.0, 0.18, 0.12),
    ("dpo", "stored pairs", 0.62, 6.0, 0.22, 0.17),
    ("ipo", "stored pairs", 0.58, 5.0, 0.24, 0.15),
    ("simpo", "stored pairs", 0.44, 14.0, 0.30, 0.20),
    ("orpo", "stored pairs", 0.30, 3.0, 0.35, 0.08),
    ("kto", "single verdicts", 0.55, 5.5, 0.20, 0.25),
    ("online", "own pairs", 0.82, 7.5, 0.15, 0.14),
    ("raft", "own samples", 0.70, 3.6, 0.26, 0.10),
    ("best_of_n", "inference", 0.74, 1.9, 0.28, 0.07),
)
KINDS = ("chat", "help", "harmful", "lookalike", "wrapped")
ATTACKS = (("plain", True), ("role play", True), ("prefix", True), ("translation", False), ("encoding", False))
HOSTILE = (
    "<script>document.title='owned';window.owned=1</script>",
    "</script><script>document.title='owned';window.owned=1</script>",
    "<img src=x onerror=\"document.title='owned';window.owned=1\">",
    "<svg onload=\"document.title='owned';window.owned=1\"></svg>",
    "javascript:document.title='owned'",
    "<a href=\"javascript:document.title='owned'\">click</a>",
    "--></title></style></textarea><iframe srcdoc=\"<script>parent.document.title='owned'</script>\"></iframe>",
    "<!--<script>document.title='owned'//",
    "<meta http-equiv=refresh content='0;url=javascript:document.title=1'>",
    "{{ 7 * 7 }} {% raw %} ${7*7} \"'`\\u003c line\u2028and\u2029 \u202etfel thgir\u202c \ud800 \x00\x1b[31mred",
    "<style>body{display:none}</style><base href='https://example.invalid/'>",
)
STUDENT = 2.776


def spread(values: list[float], **extra: Any) -> dict[str, Any]:
    """A figure of a row from its values by seed."""
    n, middle = len(values), sum(values) / len(values)
    error = math.sqrt(sum((v - middle) ** 2 for v in values) / max(1, n - 1) / n)
    return (
        {"mean": middle, "low": middle - STUDENT * error, "high": middle + STUDENT * error}
        | {"by_seed": {str(seed): value for seed, value in enumerate(values)}}
        | extra
    )


def comparison(betas: tuple[float, ...] = (0.03, 0.1, 0.3), examples: int = 24, seeds: int = 5) -> dict[str, Any]:
    """Twelve methods over some betas and seeds, and the two controls."""
    draw = random.Random(7)
    hard = [draw.gauss(0, 0.12) for _ in range(seeds)]
    rows = [_row(draw, place, beta, hard) for place in METHODS for beta in betas] + [
        _control(name, seeds) for name in ("refuse", "comply")
    ]
    learned = [row for row in rows if not row["control"]]
    _tiers(learned)
    top = max(learned, key=lambda row: row["metrics"]["gold"]["mean"])
    return {
        "schema": 1,
        "title": "Twelve ways of aligning the help desk",
        "answer": f"{top['label']} gained most, {top['gain']['mean']:.2f} in gold; six others cannot be told from it.",
        "notes": [
            "Every method was tuned by 8 random trials on validation prompts and on seeds that are not reported.",
            "KL of best_of_n is an upper bound.",
            "One run of simpo failed; its seed is left out of pairwise figures.",
        ],
        "made": "2026-03-01 12:00",
        "version": "0.1.0",
        "primary": "gold",
        "primary_label": "gold score",
        "baseline": "sft",
        "seeds": list(range(seeds)),
        "rows": rows,
        "design": {
            "kind": "blocks",
            "df": (len(learned) - 1) * (seeds - 1),
            "residual_sd": 0.04,
            "sentence": "Seeds are blocks: value = method + seed, residual sd 0.04, Tukey's intervals.",
        },
        "pairs": _pairs(learned),
        "against_baseline": [_against(row) for row in learned],
        "wins": _wins(rows),
        "matched_kl": _matched(learned),
        "worlds": _worlds(),
        "frontier": _frontier(learned, betas),
        "tuning": _tuning(learned, draw),
        "posture": _posture(rows),
        "examples": [_example(draw, i, rows) for i in range(examples)],
        "failures": [
            {
                "label": "simpo β=0.03",
                "seed": 3,
                "status": "failed",
                "reason": "TrainingError: loss is not finite at step 41\x1b[2J " + HOSTILE[0],
                "folder": "runs/2026-03-01/12-00-00-simpo-seed3",
            },
            {"label": "orpo β=0.3", "seed": 1, "status": "missing", "reason": None, "folder": None},
        ],
        "not_compared": [{"label": "constitutional", "reason": "another data set"}],
        "commands": [
            "python -m alignlab -m algo=ppo,rloo,dpo seed=0,1,2,3,4 algo.beta=0.03,0.1,0.3",
            "python -m alignlab compare runs/sweeps/desk",
        ],
        "fingerprints": {"data": "9f2c" * 16, "code": "17ab" * 16},
        "versions": {"alignlab": "0.1.0", "torch": "2.13.0", "python": "3.11.2"},
        "shared": ["Every seed trained its own SFT policy, labels and reward model."],
    }


def hostile() -> dict[str, Any]:
    """A small comparison in which every text is an attack on the page."""
    content = comparison(betas=(0.1,), examples=len(HOSTILE), seeds=3)
    for i, row in enumerate(content["rows"]):
        bad = HOSTILE[i % len(HOSTILE)]
        row |= {
            "label": f"{row['name']} {bad}",
            "summary": bad,
            "equation": bad,
            "settings": {bad: bad},
            "method": f"{row['method']}{bad}",
        }
        row["flags"] = [{"name": bad, "text": bad, "seeds": [0]}]
        row["attacks"] = {bad: {"seen": True, "breach": {"mean": 0.5}}}
        row["strata"] = {bad: {"gold": {"mean": 0.5}}}
    for example, bad in zip(content["examples"], HOSTILE, strict=True):
        example |= {"prompt": bad, "kind": bad, "attack": bad}
        for reply in example["replies"]:
            reply |= {"text": f"viewer saw {bad}", "verdict": bad, "withheld": False, "scores": {bad: 1.0, "gold": 1.0}}
    for row, bad in zip(content["posture"]["rows"], itertools.cycle(HOSTILE)):
        row |= {"label": bad, "dominated_by": [bad], "wrapped_by": {bad: {"mean": 0.5}}}
    content["posture"] |= {"answer": list(HOSTILE), "notes": list(HOSTILE), "faults": list(HOSTILE)}
    for key in ("title", "answer", "made", "version", "primary_label"):
        content[key] = f"{HOSTILE[1]}{HOSTILE[9]}"
    for key in ("notes", "commands", "shared"):
        content[key] = list(HOSTILE)
    content["fingerprints"] = content["versions"] = content["labels"] = {bad: bad for bad in HOSTILE}
    return content


def _row(draw: random.Random, place: tuple, beta: float, hard: list[float]) -> dict[str, Any]:
    name, family, gain, kl, breach, over = place
    drift = kl * (0.1 / beta) ** 0.6
    d = math.sqrt(drift)
    peak = math.sqrt(kl) * 1.25
    gold = gain * (2 * d / peak - (d / peak) ** 2)
    own = draw.gauss(0, 0.02)
    golds = [1.2 + h + gold + own + draw.gauss(0, 0.05) for h in hard]
    gains = [g - 1.2 - h for g, h in zip(golds, hard, strict=True)]

    def share(at: float, noise: float = 0.03) -> dict[str, Any]:
        return spread([min(1.0, max(0.0, at + draw.gauss(0, noise))) for _ in hard])

    breaches = share(breach * (0.8 + beta))
    metrics = {
        "gold": spread(golds, sft=1.2 + sum(hard) / len(hard)),
        "proxy": spread([1.1 * g + 0.25 * d + 0.3 for g in golds], sft=1.5),
        "judge_score": spread([0.9 * g + draw.gauss(0, 0.04) for g in golds], sft=1.05),
        "kl": spread([drift * (1 + draw.gauss(0, 0.05)) for _ in hard]),
        "win_rate": share(0.5 + 0.4 * gold),
        "win_rate_controlled": share(0.5 + 0.36 * gold),
        "length": spread([24 + 3 * d + draw.gauss(0, 0.6) for _ in hard], sft=23.1),
        "entropy": spread([1.4 - 0.08 * d + draw.gauss(0, 0.02) for _ in hard], sft=1.52),
        "distinct_2": share(0.6 - 0.03 * d, 0.01),
        "ended": share(0.98, 0.01),
        "refusal_harmful": share(1 - breach),
        "refusal_lookalike": share(over) | {"sft": 0.06},
        "refusal_benign": share(over / 4, 0.01),
        "refusal_wrapped": share(over * 1.4),
        "breach": breaches | {"sft": 0.41},
        "breach_seen": share(breach * 0.8),
        "breach_held_out": share(min(1.0, breach * 1.5)),
        "youden": share(1 - breach - over),
    }
    rate = breaches["mean"]
    return {
        "id": f"{name}-{beta}",
        "label": f"{name} β={beta}",
        "name": name,
        "method": name,
        "family": family,
        "summary": f"What {name} does, in a sentence.",
        "equation": "max E[r(x, y)] − β KL(π‖π_ref)",
        "settings": {"algo.beta": beta, "algo.lr": 3e-4, "algo.batch_size": 64},
        "conventions": {"KL": "in the reward, per token", "advantages": "whitened over the batch"},
        "seeds": list(range(len(hard))),
        "control": False,
        "kl_known": "bound" if name == "best_of_n" else "exact",
        "rank": {},
        "metrics": metrics,
        "gain": spread(gains),
        "costs": {
            "seconds": {"mean": 30 + 40 * gain},
            "seconds_with_stages": {"mean": 95 + 60 * gain},
            "labels": {"mean": 0 if family == "inference" else 2000},
            "sampled_tokens": {"mean": 2.1e5 * gain if family == "own samples" else None},
            "flops": {"mean": 10 ** (11 + 2.5 * gain)},
            "flops_with_stages": {"mean": 10 ** (11.6 + 2.3 * gain)},
            "steps": {"mean": 125},
            "peak_memory": {"mean": 812e6},
        },
        "strata": {
            kind: {
                "gold": spread([g + 0.2 * i for g in golds]),
                "refusal": share([0.02, 0.03, 1 - breach, over, 1.4 * over][i]),
                "length": share(22 + i, 1),
            }
            for i, kind in enumerate(KINDS)
        },
        "attacks": {
            attack: {"seen": seen, "breach": share(breach * (0.6 + 0.3 * i))}
            for i, (attack, seen) in enumerate(ATTACKS)
        },
        "breach_at": {
            str(k): {
                "mean": 1 - (1 - rate) ** (k**0.7),
                "low": max(0, 0.9 - (1 - rate) ** (k**0.7)),
                "high": min(1, 1.1 - (1 - rate) ** (k**0.7)),
            }
            for k in (1, 2, 4, 8, 16)
        },
        "flags": [
            {"name": "displacement", "text": "The log-probability of chosen replies fell by 12 nats.", "seeds": [0, 2]}
        ]
        if name in ("dpo", "simpo")
        else [],
        "counts": {"done": len(hard), "failed": 1 if name == "simpo" and beta == 0.03 else 0, "invalid": 0},
    }


def _control(name: str, seeds: int) -> dict[str, Any]:
    refused = 1.0 if name == "refuse" else 0.0
    score = spread([0.4 if refused else 0.9] * seeds)
    names = {
        "refusal_harmful": refused,
        "refusal_lookalike": refused,
        "refusal_benign": refused,
        "breach": 1 - refused,
        "youden": 0.0,
    }
    return {
        "id": f"control-{name}",
        "label": f"{name} everything",
        "name": name,
        "method": name,
        "control": True,
        "seeds": list(range(seeds)),
        "kl_known": None,
        "metrics": {"gold": score} | {key: spread([value] * seeds) for key, value in names.items()},
        "gain": None,
        "costs": None,
        "flags": [],
    }


def _tiers(rows: list[dict[str, Any]]) -> None:
    ranked = sorted(rows, key=lambda row: -row["metrics"]["gold"]["mean"])
    for i, row in enumerate(ranked):
        letters = sorted({chr(65 + min(25, i // 5)), chr(65 + min(25, (i + 2) // 5))})
        row["tiers"] = letters
        row["rank"] = {"low": max(1, i - 1), "high": min(len(rows), i + 4), "mean": i + 1.2}


def _against(row: dict[str, Any]) -> dict[str, Any]:
    gain = row["gain"]["mean"]
    return {
        "id": row["id"],
        "difference": gain,
        "low": gain - 0.17,
        "high": gain + 0.17,
        "p": 0.0625 if gain > 0.17 else 0.4,
        "separated": gain > 0.17,
    }


def _pairs(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for i, a in enumerate(rows):
        for b in rows[i + 1 :]:
            gap = a["metrics"]["gold"]["mean"] - b["metrics"]["gold"]["mean"]
            found.append(
                {
                    "a": a["id"],
                    "b": b["id"],
                    "difference": gap,
                    "low": gap - 0.22,
                    "high": gap + 0.22,
                    "p": 0.0625,
                    "separated": abs(gap) > 0.22,
                }
            )
    return found


def _wins(rows: list[dict[str, Any]]) -> dict[str, Any]:
    golds = [row["metrics"]["gold"]["mean"] for row in rows]
    raw = [
        [None if i == j else 1 / (1 + math.exp(-1.8 * (a - b))) for j, b in enumerate(golds)]
        for i, a in enumerate(golds)
    ]
    shrunk = [[None if each is None else 0.5 + 0.8 * (each - 0.5) for each in line] for line in raw]
    return {"ids": [row["id"] for row in rows], "raw": raw, "controlled": shrunk}


def _matched(rows: list[dict[str, Any]]) -> dict[str, Any]:
    kls = [2.0, 5.0, 10.0]
    lines = []
    for row in rows[:: max(1, len(rows) // 12)]:
        gain, reach = row["gain"]["mean"], row["metrics"]["kl"]["mean"]
        values = [
            None
            if kl > reach * 1.5
            else {"mean": gain * kl / 10, "low": gain * kl / 10 - 0.1, "high": gain * kl / 10 + 0.1}
            for kl in kls
        ]
        lines.append({"id": row["id"], "values": values})
    return {
        "kl": kls,
        "rows": lines,
        "sentence": "Read off each method's frontier over β; a dash where it never moved so far.",
    }


def _worlds() -> dict[str, Any]:
    """Every preset under two rates of wrong labels."""
    gains = {name: [gain, 0.6 * gain] for name, _, gain, *_ in METHODS}
    at = [0.1 * i for i in range(11)]

    def around(value: float) -> dict[str, float]:
        return {"mean": value, "low": max(0.0, value - 0.1), "high": min(1.0, value + 0.1)}

    def beyond(name: str, mark: float) -> dict[str, float]:
        return around(sum(gain > mark for gain in gains[name]) / 2)

    return {
        "worlds": ["data.flip=0", f"data.flip=0.3 {HOSTILE[0]}"],
        "rows": [{"id": name, "label": name, "iqm": around(sum(own) / 2), "gains": own} for name, own in gains.items()],
        "improvement": [
            {"a": a, "b": b, **around(0.5 + 0.5 * (gains[a] > gains[b]) - 0.5 * (gains[a] < gains[b]))}
            for a, b in itertools.permutations(gains, 2)
        ],
        "profiles": {
            "at": at,
            "curves": [{"id": name, "shares": [beyond(name, mark) for mark in at]} for name in gains],
        },
        "sentence": "Over 2 conditions: ppo gains most.",
    }


def _frontier(rows: list[dict[str, Any]], betas: tuple[float, ...]) -> dict[str, Any]:
    points = [
        {
            "id": row["id"],
            "seed": int(seed),
            "kl": row["metrics"]["kl"]["by_seed"][seed],
            "gold": value,
            "proxy": 1.1 * value + 0.25 * math.sqrt(row["metrics"]["kl"]["by_seed"][seed]),
        }
        for row in rows
        for seed, value in row["gain"]["by_seed"].items()
    ]
    best = [
        {
            "n": n,
            "kl": math.log(n) - (n - 1) / n,
            "gold": 0.55 * math.sqrt(2 * math.log(n)),
            "proxy": 0.75 * math.sqrt(2 * math.log(n)),
        }
        for n in (2, 4, 8, 16, 32, 64, 128)
    ]
    fits = [
        {
            "id": f"{name}-{betas[0]}",
            "form": "bon" if name == "best_of_n" else "rl",
            "target": target,
            "a": a,
            "b": b,
            "peak": math.exp(a / b - 1),
            "kl_low": 1.0,
            "kl_high": 20.0,
            "sentence": f"{target} of {name} peaks at √KL = {math.exp(a / b - 1):.1f}.",
        }
        for name, target, a, b in (("ppo", "gold", 0.55, 0.25), ("dpo", "gold", 0.40, 0.19), ("ppo", "proxy", 0.6, 0.1))
    ]
    return {"points": points, "best_of": best, "fits": fits}


def _posture(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What repeated attempts and turns say, in closed forms of the breach of each row."""
    found = []
    for row in rows:
        rate = row["metrics"]["breach"]["mean"]

        def share(at: float) -> dict[str, Any]:
            return {"mean": at, "low": max(0.0, at - 0.05), "high": min(1.0, at + 0.05)}

        def any_of(k: int, rate: float = rate) -> dict[str, Any]:
            return share(1 - (1 - rate) ** (k**0.5))

        turns = [{"turn": t, "survival": share((1 - rate / 2) ** t), "hazard": share(rate / 2)} for t in range(1, 7)]
        law = {"at": {str(k): any_of(k) for k in (64, 256, 1024)}, "reach": 64, "misfit": 0.02}
        pressed = {
            "breach_at": {str(k): any_of(k) for k in (1, 4, 16, 64)},
            "laws": {"power": law, "beta_binomial": law},
            "survival": {"turns": [{**turn, "at_risk": 30, "breaches": 2} for turn in turns]},
            "until": {"median": 2 / max(rate, 0.01), "ratio": {"mean": 3.0, "low": 2.0, "high": 4.5, "bound": False}},
            "wrapped_by": {attack: share(0.1) for attack, _ in ATTACKS},
            "dominated_by": [] if rate < 0.2 else [rows[0]["id"]],
        }
        over = {kind: row["metrics"].get(f"refusal_{kind}") for kind in ("lookalike", "benign", "wrapped")}
        own = {key: row["metrics"].get(key) for key in ("breach", "breach_seen", "breach_held_out", "youden")}
        who = {key: row[key] for key in ("id", "label", "control")}
        found.append({**who, **own, "over": over, **({} if row["control"] else pressed)})
    return {
        "judge": {"names": ["desk"], "exact": True},
        "rows": found,
        "answer": ["At equal helpfulness one row leads.", "Expect it to answer a tenth of attacks."],
        "notes": ["Attempts are independent."],
        "faults": [],
    }


def _tuning(rows: list[dict[str, Any]], draw: random.Random) -> dict[str, Any]:
    trials, chosen = list(range(1, 9)), {row["name"]: row for row in rows}.values()
    curves = [
        {"id": row["id"], "k": trials, "expected": [row["metrics"]["gold"]["mean"] - 0.5 * 0.7**k for k in trials]}
        for row in chosen
    ]
    picks = [
        {
            "id": row["id"],
            "settings": {"algo.lr": round(10 ** draw.uniform(-4, -3), 6), "algo.beta": 0.1},
            "score": row["metrics"]["gold"]["mean"],
            "kl": row["metrics"]["kl"]["mean"],
        }
        for row in chosen
    ]
    return {
        "trials": 8,
        "curves": curves,
        "chosen": picks,
        "sentence": "Eight random trials for every method, chosen by held-out score on seeds that are not reported.",
    }


def _example(draw: random.Random, i: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    kind = KINDS[i % len(KINDS)]
    attack = ATTACKS[i % len(ATTACKS)][0] if kind in ("harmful", "wrapped") else None
    chosen = [row for row in rows if row["id"].endswith("-0.1") or row["control"]] or rows
    bad = HOSTILE[i % len(HOSTILE)] if i % 6 == 5 else ""
    replies = [_reply(draw, row["id"], kind, i) for row in chosen]
    return {
        "prompt": f"Request {i}: my printer reports error {i * 37 % 90}, what now? {bad}",
        "kind": kind,
        "attack": attack,
        "replies": [_reply(draw, "sft", kind, i), *replies],
    }


def _reply(draw: random.Random, name: str, kind: str, i: int) -> dict[str, Any]:
    complied = kind == "harmful" and draw.random() < 0.2
    words = " ".join(
        draw.choice(
            ("open", "the", "cover", "and", "press", "reset", "then", "wait", "please", "sorry", "I", "cannot", "help")
        )
        for _ in range(draw.randrange(8, 40))
    )
    return {
        "id": name,
        "text": "secret recipe" if complied else words,
        "scores": {"gold": draw.gauss(1, 0.8), "proxy": draw.gauss(1.4, 0.8), "judge_score": None},
        "length": len(words.split()),
        "verdict": "complied" if complied else "refused" if kind == "harmful" else "answered",
        "withheld": complied,
    }
