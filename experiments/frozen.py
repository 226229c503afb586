"""Tells what frozen features are worth as they are: nearest centroid and zero-shot, untrained.

    python -m experiments.frozen --config=experiments/configs/grocery.py \\
        --config.data.path=FILE

All classes of the data are tested, as nothing is learned from any; config.test says with how many
ways, shots, queries and episodes. Rows that lack a modality are padding to what sees it alone, or
queries at which it can only guess. A description with as many features as the rows have (those of
`conse` and of `minilm` share a space) also tells queries apart without a shot.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from experiments import build, command, dealer, jobs
from experiments.cache import embedded
from experiments.names import parse_names
from fsjax.data.pool import make_pool
from fsjax.evaluation.episodic import evaluate
from fsjax.evaluation.figures import accuracy
from fsjax.evaluation.intervals import Interval, mean_ci95
from fsjax.learners.sighted import sighted
from fsjax.learners.zero_shot import nearest_description
from fsjax.types import Learner, Params, Pool


def all_classes(config: ConfigDict) -> Pool:
    """Every class of the data of a config, through the frozen encoders that it names.

    Raises:
      ValueError: if the data do not fit the config.
    """
    whole = build.read(config)
    for setting in dealer.episode_settings(config)["test"]:
        build.check_setting(config, "all classes", whole, setting)
    return make_pool(embedded(whole, build.encoders(config)))


def nearest_centroid(config: ConfigDict, pool: Pool) -> Mapping[tuple[int, int], Interval]:
    """Ways and shots of the test settings -> accuracy of the nearest centroid (cosine)."""
    untrained = config.copy_and_resolve_references()
    untrained.compare = "raw"
    untrained.encoders.tabular = "raw"  # not scaled by rows, which are those of the tests
    variant = build.models(untrained)["raw"]
    job = jobs.prepare(variant, pool)
    learner, rows = jobs.prepared(job.model, job.state.params, pool)
    learner = sighted(learner, parse_names(variant.modalities))
    return {
        (setting["ways"], setting["shots"]): _accuracy(
            learner, job.state.params, variant, rows, setting
        )
        for setting in dealer.episode_settings(variant)["test"]
    }


def zero_shot(config: ConfigDict, pool: Pool) -> Mapping[tuple[str, str, int], Interval]:
    """Modality, description and ways of the test settings -> accuracy of the nearest description.

    Only descriptions with as many features as the rows of the modality have are told.
    """
    rows = {name: x for one in pool.sources.values() for name, x in one.inputs.values.items()}
    like = [
        (name, side)
        for name, x in rows.items()
        for side, described in pool.side.values.items()
        if described.shape[1:] == x.shape[1:]
    ]
    settings = {setting["ways"]: setting for setting in dealer.episode_settings(config)["test"]}
    return {
        (name, side, ways): _accuracy(learner, {}, config, pool, setting)
        for ways, setting in settings.items()
        for name, side in like
        for learner in [sighted(nearest_description(name, side), [name], [side])]
    }


def _accuracy(
    learner: Learner, params: Params, config: ConfigDict, pool: Pool, setting: Mapping[str, Any]
) -> Interval:
    sample = dealer.episodes(config, pool, **setting)
    figures = evaluate(
        learner,
        params,
        jax.random.key(jobs.TEST_KEY),
        sample=sample,
        num_episodes=config.test.episodes,
        batch=jobs.EVALUATION_BATCH,
        figures=(accuracy,),
    )
    return mean_ci95(figures["accuracy"])


def main(argv: Sequence[str]) -> None:
    """Measures the config that the flags name and prints a line for each setting."""
    config = command.CONFIG.value
    pool = all_classes(config)
    for (ways, shots), (mean, half) in nearest_centroid(config, pool).items():
        print(f"{ways}-way {shots}-shot: {100 * mean:.1f} ± {100 * half:.1f}")
    for (name, side, ways), (mean, half) in zero_shot(config, pool).items():
        print(f"{ways}-way 0-shot, {name} by {side}: {100 * mean:.1f} ± {100 * half:.1f}")


if __name__ == "__main__":
    command.run(main)
