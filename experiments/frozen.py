"""Tells what frozen features are worth as they are: the nearest centroid, nothing trained.

    python -m experiments.frozen --config=experiments/configs/grocery.py \\
        --config.data.path=FILE

All classes of the data are tested, as nothing is learned from any; config.test says with how many
ways, shots, queries and episodes.
"""

from collections.abc import Mapping, Sequence

import jax
from ml_collections import ConfigDict

from experiments import build, command, dealer, jobs
from experiments.cache import embedded
from fsjax.data.pool import make_pool
from fsjax.evaluation.figures import accuracy
from fsjax.evaluation.intervals import Interval, mean_ci95
from fsjax.types import Pool


def all_classes(config: ConfigDict) -> Pool:
    """Every class of the data of a config, through the frozen encoders that it names.

    Raises:
      ValueError: if the data do not fit the config.
    """
    return make_pool(embedded(build.read(config), build.encoders(config)))


def nearest_centroid(config: ConfigDict, pool: Pool) -> Mapping[tuple[int, int], Interval]:
    """Ways and shots of the test settings -> accuracy of the nearest centroid (cosine)."""
    untrained = config.copy_and_resolve_references()
    untrained.compare = "raw"
    variant = build.models(untrained)["raw"]
    job = jobs.prepare(variant, pool)
    params = job.state.params
    _, rows = jobs.prepared(job.model, params, pool)
    found = {}
    for setting in dealer.episode_settings(variant)["test"]:
        figures = jobs.evaluator(
            job.model, variant, num_episodes=variant.test.episodes, figures=(accuracy,)
        )
        sample = dealer.episodes(variant, rows, **setting)
        each = figures(params, jax.random.key(jobs.TEST_KEY), sample)
        found[setting["ways"], setting["shots"]] = mean_ci95(each["accuracy"])
    return found


def main(argv: Sequence[str]) -> None:
    """Measures the config that the flags name and prints a line for each setting."""
    config = command.CONFIG.value
    pool = all_classes(config)
    for (ways, shots), (mean, half) in nearest_centroid(config, pool).items():
        print(f"{ways}-way {shots}-shot: {100 * mean:.1f} ± {100 * half:.1f}")


if __name__ == "__main__":
    command.run(main)
