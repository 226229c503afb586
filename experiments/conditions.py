"""Results where modalities are missing, crossed or corrupted: the same episodes for all models."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments import build, comparing, dealer, devices, results, scoring
from experiments.build.conditions import MISSING, Condition, conditions, unchanged
from experiments.jobs import TEST_KEY, VALIDATION_KEY, evaluator, prepared
from experiments.names import parse_names
from experiments.runs import CONDITIONS, Line
from fsjax.evaluation.figures import accuracy, correct, covered
from fsjax.evaluation.intervals import mean_ci95, paired_difference
from fsjax.evaluation.present import best_present
from fsjax.types import Array, Episode, Key, Params, Pool, Sample

BEST_PRESENT = "best present"  # no model: of the modalities alone the best that is there
CHANGE_KEY = 404  # folded into an episode's key, so that a condition changes nothing that is drawn
KEYS = {"test": TEST_KEY, "validation": VALIDATION_KEY}
# What a line under a condition has of its own, and does not share with the plain result.
OWN = ("kind", "accuracy", "ci95", "nll", "ece", "seconds")


def test(scored: scoring.Scored, plain: Sequence[Line], workdir: Path) -> list[Line]:
    """Evaluates one model under every condition of its config and saves figures of each episode.

    Rows that have none of the modalities that the model sees are padding to it, or queries at
    which it can only guess.

    Args:
      scored: the model, its parameters and the classes as they are.
      plain: its lines of `scoring.test`.
      workdir: of the run.

    Returns:
      For each setting and condition a line of results.jsonl.
    """
    name, config, model, params, pools = scored
    names = parse_names(config.modalities)
    of_run = [m for source in pools["test"].sources.values() for m in source.inputs.present]
    found, plainly = conditions(config.test, of_run), unchanged(of_run)
    if not found:
        return []
    alone = len(names) == 1 and any(condition.kind == MISSING for condition in found)
    mesh = devices.mesh(config)
    encoded = {
        split: prepared(model, params, pools[split], mesh)[1]
        for split in (("test", "validation") if alone else ("test",))
    }
    of_tokens = _figures(model, config, params, encoded)
    of_values = _figures(model._replace(fast=None), config, params, pools)
    settings = dealer.episode_settings(config)["test"]
    told = [line for line in plain if line["kind"] == "result"]
    lines = []
    for setting, result in zip(settings, told, strict=True):
        skill = np.mean(of_tokens(setting, plainly, "validation")["accuracy"]) if alone else None
        for condition in found:
            start = time.perf_counter()
            if condition.corrupted in names:
                figures = of_values(setting, condition)
            else:
                figures = of_tokens(setting, plainly if condition.corrupted else condition)
            mean, half = mean_ci95(figures["accuracy"])
            line = {key: value for key, value in result.items() if key not in OWN}
            line |= {"kind": condition.kind, "condition": condition.text, **condition.told}
            line |= {"accuracy": mean, "ci95": half, "seconds": time.perf_counter() - start}
            more = {"skill": skill} if alone else {}
            results.save_arrays(workdir / scoring.episodes_file(name, line), {**figures, **more})
            lines.append(line)
    return lines


def _figures(
    model: build.Model, config: ConfigDict, params: Params, rows: Mapping[str, Pool]
) -> Callable[..., dict[str, Array]]:
    """setting, condition, split -> figures of its episodes."""
    how = {"num_episodes": config.test.episodes, "figures": (accuracy, correct, covered)}
    episodes = evaluator(model, config, **how)

    def figures(
        setting: Mapping[str, Any], condition: Condition, split: str = "test"
    ) -> dict[str, Array]:
        sample = changed(dealer.episodes(config, rows[split], **setting), condition)
        return episodes(params, jax.random.key(KEYS[split]), sample)

    return figures


def changed(sample: Sample, condition: Condition) -> Sample:
    """A sampler whose episodes are those of another under a condition; a pytree if that is."""
    return jax.tree_util.Partial(_Changed(condition.change), sample, condition.amounts)


class _Changed(NamedTuple):
    """What a condition does to a sample; equal ones compile once."""

    change: Callable[[Key, Episode, Any], Episode]

    def __call__(self, sample: Sample, amounts: Any, key: Key) -> Episode:
        return self.change(jax.random.fold_in(key, CHANGE_KEY), sample(key), amounts)


def compare(
    names: Sequence[str], config: ConfigDict, lines: Sequence[Line], workdir: Path
) -> list[Line]:
    """Paired differences in accuracy on the same episodes under the same condition.

    Where modalities are missing, fused models are also compared with the best that their
    modalities alone can do, if there is a model of each.

    Args:
      names: of models, as for `comparing.compare`.
      config: of the run.
      lines: of all these models, of `test`; others are passed over.
      workdir: of the run.

    Returns:
      Lines of results.jsonl: those of the best single modality, and differences.
    """
    modalities = parse_names(config.modalities)
    alone = modalities if len(modalities) > 1 and set(modalities) <= set(names) else ()
    groups: dict[tuple, dict[str, Line]] = {}
    for line in lines:
        if line["kind"] in CONDITIONS:
            where = (line["ways"], str(line["shots"]), line["condition"])
            groups.setdefault(where, {})[line["model"]] = line
    added = []
    for of_model in groups.values():
        pairs = comparing.pairs(names)
        if alone and of_model[names[0]]["kind"] == MISSING:
            of_model[BEST_PRESENT] = _best_present([of_model[name] for name in alone], workdir)
            added.append(of_model[BEST_PRESENT])
            fused = [name for name in names if len(of_model[name]["modalities"]) > 1]
            pairs += [(name, BEST_PRESENT) for name in fused]
        for model, against in pairs:
            added.append(_difference(of_model[model], of_model[against], workdir))
    return added


def _best_present(lines: Sequence[Line], workdir: Path) -> Line:
    """The result of the best single modality, from those of the modalities alone."""
    parts: dict[str, dict[str, np.ndarray]] = {"correct": {}, "covered": {}, "skill": {}}
    for line in lines:
        for part, of_model in parts.items():
            of_model[line["model"]] = _saved(line, workdir)[part]
    accuracies = best_present(*parts.values(), ways=lines[0]["ways"])
    mean, half = mean_ci95(accuracies)
    line = {**lines[0], "model": BEST_PRESENT, "accuracy": mean, "ci95": half}
    line["modalities"] = [line["model"] for line in lines]
    line["transductive"] = any(line["transductive"] for line in lines)
    line["seconds"] = 0.0
    file = workdir / scoring.episodes_file(BEST_PRESENT, line)
    results.save_arrays(file, {"accuracy": accuracies})
    return line


def _saved(line: Line, workdir: Path) -> dict[str, np.ndarray]:
    with np.load(workdir / scoring.episodes_file(line["model"], line)) as figures:
        return dict(figures)


def _difference(line: Line, against: Line, workdir: Path) -> Line:
    mean, half = paired_difference(*(_saved(each, workdir)["accuracy"] for each in (line, against)))
    shared = ("data", "split", "seed", "ways", "shots", "queries", "apart", "episodes")
    shared += ("condition", *(key for key in CONDITIONS[line["kind"]] if key in line))
    return {
        "kind": f"{line['kind']}_comparison",
        "model": line["model"],
        "against": against["model"],
        **{key: line[key] for key in shared},
        "difference": mean,
        "ci95": half,
    }
