"""Paired differences between the models of a run."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from experiments import build, dealer, results
from experiments.names import parse_names
from experiments.scoring import asked, episodes_file
from fsjax.evaluation.intervals import paired_difference


def pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Which models are compared: the first with all others, one with several changes, as
    "prototype+hallucinate", with the one that lacks the last, and each with "raw".
    """
    first, *others = names
    compared = [(first, other) for other in others]
    compared += [(name, less) for name in others if (less := name.rpartition("+")[0]) in names]
    compared += [(name, "raw") for name in others if "raw" in others and name != "raw"]
    return list(dict.fromkeys(compared))


def compare(
    names: Sequence[str], config: ConfigDict, workdir: Path, trained_in: Path | None = None
) -> list[dict[str, Any]]:
    """Paired differences in accuracy on the same episodes.

    Args:
      names: of models, compared as `pairs` says, and every fusion with the best modality alone, by
        validation.
      config: of the run.
      workdir: where the figures of episodes lie.
      trained_in: work directory of the run, if that is another.

    Returns:
      Lines of results.jsonl.
    """
    compared = pairs(names)
    if alone := [name for name in names if name in parse_names(config.modalities)]:
        best = max(alone, key=partial(_validated, trained_in or workdir))
        fused = [name for name in names[1:] if name.split("+")[0] in build.FUSIONS]
        compared += [pair for name in fused if (pair := (name, best)) not in compared]
    lines = []
    for settings in dealer.episode_settings(config)["test"]:
        accuracies, where = {}, asked(config, settings)
        for name in names:
            with np.load(workdir / episodes_file(name, where)) as figures:
                accuracies[name] = figures["accuracy"]
        for model, against in compared:
            mean, half = paired_difference(accuracies[model], accuracies[against])
            lines.append(
                {
                    "kind": "comparison",
                    "model": model,
                    "against": against,
                    "data": config.data.name,
                    "split": "test",
                    **where,
                    "difference": mean,
                    "ci95": half,
                    "seed": config.seed,
                }
            )
    return lines


def _validated(workdir: Path, name: str) -> float:
    """The best validation accuracy of a model in training; zero if it was not trained."""
    lines = results.read_lines(workdir / "models" / name / "metrics.jsonl")
    return max((line["validation"] for line in lines), default=0.0)
