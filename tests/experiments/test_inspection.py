"""Arrays for the report: pictures of a generator beside those it was shown."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import build, inspection
from experiments.configs.emoji import get_config
from fsjax.types import Episode, Inputs, Support

NAMES = ("oak", "elm", "yew", "fir")
LABELS = np.eye(3, dtype=np.float32)[[1, 0, 2, 0]]  # two rows of one class, one of the others
TARGETS = np.eye(3, dtype=np.float32)[[2, 0, 1, 1, 0, 2]]
IDS = np.array([3, 0, 2])


def episode_of(dtype) -> Episode:
    random = np.random.default_rng(0)

    def inputs(rows):
        x = jnp.array(random.integers(0, 256, (rows, 3, 3, 1)), dtype)
        return Inputs({"image": x}, {"image": jnp.ones(rows)})

    side = Inputs({"class": jnp.array(IDS)}, {"class": jnp.ones(3)})
    support = Support(inputs(4), jnp.array(LABELS), side)
    return Episode(support, inputs(6), jnp.array(TARGETS))


@pytest.fixture(scope="module")
def made():
    config = get_config()
    config.update(modalities="image", fusion="plain", learner="pictures")
    config.encoders.image = "raw"
    config.generation.generator = "wgan_pictures"
    model = build.model(config)
    return (
        config,
        model,
        jax.jit(model.learner.init)(jax.random.key(0), episode_of("uint8").support),
    )


def shown_of(made, dtype):
    sample = jax.tree_util.Partial(lambda key: episode_of(dtype))
    return inspection.gallery(*made, sample, NAMES, jax.random.key(1))


def test_padding_is_no_support_row_of_the_picture():
    config = get_config()
    config.update(modalities="image", fusion="plain")
    config.encoders.image = "raw"
    model, episode = build.model(config), episode_of("uint8")
    labels = jnp.array(LABELS).at[1].set(0)
    episode = episode._replace(support=episode.support._replace(labels=labels))
    params = jax.jit(model.learner.init)(jax.random.key(0), episode.support)
    sample = jax.tree_util.Partial(lambda key: episode)
    shown = inspection._picture(model, params, sample, NAMES, jax.random.key(1))
    assert shown["picture_labels"][shown["picture_kinds"] == "support"].tolist() == [1, 2, 0]
    images = episode.support.inputs.values["image"][np.array([0, 2, 3])]
    np.testing.assert_array_equal(shown["picture_images"][:3], images)
    assert len(shown["picture_features"]) == 3 + 6 + 3


def test_synthetic_pictures_are_made_of_the_support_of_the_class_in_whose_row_they_stand(made):
    episode, shown = episode_of("uint8"), shown_of(made, "uint8")
    assert list(shown["gallery_classes"]) == ["fir", "oak", "yew"]
    support = np.asarray(episode.support.inputs.values["image"])
    np.testing.assert_array_equal(shown["gallery_support"], support[[[1], [0], [2]]])
    query = np.asarray(episode.query.values["image"])
    np.testing.assert_array_equal(shown["gallery_query"], query[[[1, 4], [2, 3], [0, 5]]])
    pictures = shown["gallery_synthetic"]
    assert pictures.shape == (3, inspection.SYNTHETIC_PICTURES, 3, 3, 1)
    assert pictures.dtype == np.uint8
    # A generator that has learned nothing keeps most of its prototype.
    means = np.stack([support[[1, 3]].mean(0), support[0], support[2]])
    apart = np.abs(np.float32(pictures)[:, None] - means[None, :, None]).mean((2, 3, 4, 5))
    np.testing.assert_array_equal(apart.argmin(1), range(3))
    assert np.ptp(np.float32(pictures), axis=1).max() > 0


def test_rows_that_are_no_pictures_of_bytes_are_not_shown(made):
    assert shown_of(made, "float32") == {}
