"""Results of a trained model on the test classes."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments import build, compiled, dealer, devices, results
from experiments.jobs import TEST_KEY, VALIDATION_KEY, evaluator, prepared
from experiments.names import parse_names
from fsjax.evaluation.abstention import (
    answered,
    confidences,
    least_confidence,
    share_answered,
    share_wrong,
)
from fsjax.evaluation.calibration import (
    at_temperature,
    choose_temperature,
    likelihood_by_temperature,
)
from fsjax.evaluation.episodic import FIGURES, is_transductive
from fsjax.evaluation.figures import (
    Figure,
    accuracy,
    accuracy_by_step,
    auroc,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
)
from fsjax.evaluation.intervals import bootstrap_ci95, mean_ci95
from fsjax.learners.hallucinate import Hallucinator
from fsjax.learners.maml import GradientLearner, along_path
from fsjax.types import Array, Params, Pool


class Scored(NamedTuple):
    """A trained model and what it is tested on."""

    name: str
    config: ConfigDict
    model: build.Model
    params: Params
    pools: Mapping[str, Pool]  # test, and validation where a temperature is to be chosen


Keep = Callable[[Mapping[str, Any], str], None]  # figures of episodes, what more was asked for


def test(scored: Scored, workdir: Path) -> list[dict[str, Any]]:
    """Evaluates one model in every setting of the config and saves the figures of each episode.

    Args:
      scored: the model, its parameters and the classes.
      workdir: of the run; arrays go to its folder `episodes`.

    Returns:
      For each setting a result, as far as the config asks for them how well it is calibrated, how
      much it answers at a risk, how well it knows what it does not know and how accurate it is with
      other numbers of synthetic rows, and if it has inner steps the accuracy after each, as lines
      of results.jsonl.
    """
    name, config, model, params, pools = scored
    validated = config.test.calibrate or config.test.risk
    read = ("validation", "test") if validated else ("test",)
    mesh = devices.mesh(config)
    scored = scored._replace(pools={s: prepared(model, params, pools[s], mesh)[1] for s in read})
    about = {"model": name, "data": config.data.name, "split": "test", "seed": config.seed}
    about["transductive"] = transductive(scored, "test")
    lines = []
    for settings in dealer.episode_settings(config)["test"]:
        start = time.perf_counter()
        figures, temperature = _closed(scored, settings)
        told = about | asked(config, settings)
        keep = partial(_keep, workdir, told)
        keep(figures)
        mean, half = mean_ci95(figures["accuracy"])
        result = {
            "modalities": list(parse_names(config.modalities)),
            "accuracy": mean,
            "ci95": half,
            "nll": float(np.mean(figures["negative_log_likelihood"])),
            "ece": expected_calibration_error(figures["reliability"]),
            "steps": config.train.steps,
            "key": TEST_KEY,
            "seconds": time.perf_counter() - start,
            **results.environment(),
        }
        lines.append({"kind": "result"} | told | result)
        if temperature is not None:
            keep(figures, "calibrated")
            lines += [told | line for line in _calibration(figures, temperature)]
        if config.test.risk:
            lines += [told | line for line in _abstention(scored, settings, keep)]
        if config.test.unknown:
            lines.append(told | _open_set(scored, settings, keep))
        if isinstance(model.learner, GradientLearner):
            lines.append(told | _adaptation(scored, settings, keep))
        if isinstance(model.learner, Hallucinator) and config.generation.curve:
            lines.append(told | _synthetic(scored, settings, keep))
    return lines


def transductive(scored: Scored, split: str) -> bool:
    """Whether what a model says of a query depends on the others, by rows that `prepared` gave."""
    _, config, model, params, pools = scored
    ways = dealer.episode_settings(config)[split][0]["ways"]
    small = dealer.episodes(config, pools[split], ways=ways, shots=1, queries=2)
    episode = compiled.once(lambda sample, key: sample(key))(small, jax.random.key(0))
    learner = (model.fast or model).learner
    return is_transductive(learner, params, episode, jit=compiled.once)


def _figures(
    scored: Scored, settings: Mapping[str, int]
) -> Callable[[str, int, tuple[Figure, ...]], dict[str, Array]]:
    """Split, key and figures -> those of its episodes."""
    _, config, model, params, pools = scored

    def figures(split: str, key: int, asked: tuple[Figure, ...]) -> dict[str, Array]:
        sample = dealer.episodes(config, pools[split], **settings)
        episodes = evaluator(model, config, num_episodes=config.test.episodes, figures=asked)
        return episodes(params, jax.random.key(key), sample)

    return figures


def _closed(scored: Scored, settings: Mapping[str, int]) -> tuple[dict[str, Array], float | None]:
    """Figures of test episodes, and the temperature that was chosen on validation, if any."""
    figures, config = _figures(scored, settings), scored.config
    if not config.test.calibrate:
        return figures("test", TEST_KEY, FIGURES), None
    likelihoods = figures("validation", VALIDATION_KEY, (likelihood_by_temperature,))
    temperature = choose_temperature(likelihoods[likelihood_by_temperature.__name__])
    more = tuple(at_temperature(f, temperature) for f in (negative_log_likelihood, reliability))
    return figures("test", TEST_KEY, FIGURES + more), temperature


def _calibration(figures: Mapping[str, Array], temperature: float) -> list[dict[str, Any]]:
    """Calibration errors, as the model is and at the temperature chosen."""
    lines = []
    for prefix, used in (("", 1.0), ("calibrated_", temperature)):
        table = figures[f"{prefix}reliability"]
        line = {"kind": "calibration", "calibrated": bool(prefix), "temperature": used}
        line |= {"nll": float(np.mean(figures[f"{prefix}negative_log_likelihood"]))}
        ends = bootstrap_ci95(expected_calibration_error, table)
        lines.append(line | {"ece": expected_calibration_error(table), "ci95": ends})
    return lines


def _keep(workdir: Path, told: Mapping[str, Any], figures: Mapping[str, Any], more: str = ""):
    """Saves figures of each episode, in a file of their own where more was asked for."""
    where = told | {"condition": more}
    results.save_arrays(workdir / episodes_file(told["model"], where), figures)


def _abstention(scored: Scored, settings: Mapping[str, int], keep: Keep) -> list[dict[str, Any]]:
    """How much is answered, and how much of that is wrong, from the confidence on at which on
    validation no more than the risk is.
    """
    figures, risk = _figures(scored, settings), scored.config.test.risk
    asked = (confidences,)
    known, new = (
        figures(split, key, asked)["confidences"]
        for split, key in (("validation", VALIDATION_KEY), ("test", TEST_KEY))
    )
    confidence, right = np.asarray(known).swapaxes(0, 1).reshape(2, -1)
    least = least_confidence(confidence, right, risk)
    counts = answered(new, least)
    keep({"answered": counts}, f"risk {risk}")
    lines = []
    for kind, share in (("answered", share_answered), ("wrong", share_wrong)):
        half = bootstrap_ci95(share, counts)
        lines.append({"kind": kind, "risk": risk, kind: share(counts), "ci95": half})
    return lines


def _open_set(scored: Scored, settings: Mapping[str, int], keep: Keep) -> dict[str, Any]:
    """How well the largest logit tells queries of known classes from others."""
    _, config, model, params, pools = scored
    sample = dealer.open_episodes(config, pools["test"], **settings)
    episodes = evaluator(model, config, num_episodes=config.test.episodes, figures=(auroc,))
    found = episodes(params, jax.random.key(TEST_KEY), sample)
    keep(found, f"unknown {config.test.unknown}")
    mean, half = mean_ci95(found["auroc"])
    return {"kind": "open_set", "unknown": config.test.unknown, "auroc": mean, "ci95": half}


def _adaptation(scored: Scored, settings: Mapping[str, int], keep: Keep) -> dict[str, Any]:
    """Accuracies after 0, 1, 2 ... inner steps."""
    _, config, model, params, pools = scored
    path = model._replace(learner=along_path(model.learner))
    figures = (accuracy_by_step,)
    episodes = evaluator(path, config, num_episodes=config.test.episodes, figures=figures)
    sample = dealer.episodes(config, pools["test"], **settings)
    found = episodes(params, jax.random.key(TEST_KEY), sample)
    keep(found, "adaptation")
    means, halves = zip(*map(mean_ci95, found["accuracy_by_step"].T), strict=True)
    return {"kind": "adaptation", "accuracies": means, "ci95s": halves}


def _synthetic(scored: Scored, settings: Mapping[str, int], keep: Keep) -> dict[str, Any]:
    """Accuracies with several values of config.generation.rows."""
    _, config, _, params, pools = scored
    sample = dealer.episodes(config, pools["test"], **settings)
    found = {}
    for number in map(int, parse_names(config.generation.curve)):
        variant = config.copy_and_resolve_references()
        variant.generation.rows = number
        how = {"num_episodes": config.test.episodes, "figures": (accuracy,)}
        episodes = evaluator(build.model(variant), variant, **how)
        found[number] = episodes(params, jax.random.key(TEST_KEY), sample)["accuracy"]
    keep({f"accuracy_{number}": figures for number, figures in found.items()}, "synthetic")
    means, halves = zip(*map(mean_ci95, found.values()), strict=True)
    return {"kind": "synthetic", "rows": list(found), "accuracies": means, "ci95s": halves}


def asked(config: ConfigDict, settings: Mapping[str, int]) -> dict[str, Any]:
    """All that tells the episodes of one evaluation from those of another."""
    return dict(settings) | {"apart": config.apart, "episodes": config.test.episodes}


def episodes_file(name: str, asked: Mapping[str, Any]) -> Path:
    """Where in the work directory the figures of each episode lie.

    Args:
      name: of the model.
      asked: a line of results.jsonl, or the same of its keys ways, shots, queries, episodes,
        apart and, where there is one, condition; what `test` is asked for beside a result has the
        conditions calibrated, adaptation, synthetic and, as they were asked for, risk 0.05 and
        unknown 5.
    """
    shots = "-".join(map(str, np.atleast_1d(asked["shots"])))
    setting = f"{asked['ways']}w{shots}s_{asked['queries']}q_{asked['episodes']}"
    parts = [name, setting] + ["apart"] * asked["apart"]
    if condition := asked.get("condition"):
        # Some file systems refuse these signs.
        parts.append(condition.translate(str.maketrans({":": "=", ">": "-to-", " ": "-"})))
    return Path("episodes") / f"{'_'.join(parts)}.npz"
