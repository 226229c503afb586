"""Results of a trained model on the test classes, and paired differences between models."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments import build, results
from experiments.jobs import TEST_KEY, evaluator, prepared
from fsjax.evaluation.episodic import is_transductive
from fsjax.evaluation.figures import expected_calibration_error
from fsjax.evaluation.intervals import mean_ci95, paired_difference
from fsjax.types import Params, Pool


def test(
    name: str,
    config: ConfigDict,
    model: build.Model,
    params: Params,
    rows: Pool,
    workdir: Path,
) -> list[dict[str, Any]]:
    """Evaluates one model in every setting of the config and saves the figures of each episode.

    Args:
      name: of the model, in the results.
      config: of the model.
      model: its parts.
      params: its parameters.
      rows: the test classes.
      workdir: of the run; arrays go to its folder `episodes`.

    Returns:
      A result for each setting, as lines of results.jsonl.
    """
    learner, rows = prepared(model, params, rows)
    small = build.episodes(config, rows, ways=2, shots=1, queries=2)
    once = partial(jax.jit, compiler_options=build.RUNS_ONCE)
    episode = once(lambda sample, key: sample(key))(small, jax.random.key(0))
    transductive = is_transductive(learner, params, episode)
    lines = []
    for settings in build.episode_settings(config)["test"]:
        start = time.perf_counter()
        sample = build.episodes(config, rows, **settings)
        figures = evaluator(model, num_episodes=config.test.episodes)(
            params, jax.random.key(TEST_KEY), sample
        )
        results.save_arrays(workdir / episodes_file(name, settings), figures)
        mean, half = mean_ci95(figures["accuracy"])
        lines.append(
            {
                "kind": "result",
                "model": name,
                "data": config.data.name,
                "split": "test",
                "modalities": list(build.parse_names(config.modalities)),
                **settings,
                "apart": config.apart,
                "episodes": config.test.episodes,
                "accuracy": mean,
                "ci95": half,
                "nll": float(np.mean(figures["negative_log_likelihood"])),
                "ece": expected_calibration_error(figures["reliability"]),
                "transductive": transductive,
                "seed": config.seed,
                "steps": config.train.steps,
                "key": TEST_KEY,
                "seconds": time.perf_counter() - start,
                **results.environment(),
            }
        )
    return lines


def episodes_file(name: str, settings: Mapping[str, int]) -> Path:
    """Where in the work directory the figures of each episode lie."""
    return Path("episodes") / f"{name}_{settings['ways']}w{settings['shots']}s.npz"


def compare(
    first: str, others: Sequence[str], config: ConfigDict, workdir: Path
) -> list[dict[str, Any]]:
    """Paired differences in accuracy of one model to others, on the same episodes."""
    lines = []
    for settings in build.episode_settings(config)["test"]:
        accuracies = {}
        for name in (first, *others):
            with np.load(workdir / episodes_file(name, settings)) as figures:
                accuracies[name] = figures["accuracy"]
        for other in others:
            mean, half = paired_difference(accuracies[first], accuracies[other])
            lines.append(
                {
                    "kind": "comparison",
                    "model": first,
                    "against": other,
                    "data": config.data.name,
                    "split": "test",
                    **settings,
                    "difference": mean,
                    "ci95": half,
                    "seed": config.seed,
                }
            )
    return lines
