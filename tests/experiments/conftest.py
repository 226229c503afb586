"""Work directories as a run would leave them, made up."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from experiments.configs.emoji import get_config
from experiments.results import write_lines

MODELS = {"attention": 0.884, "image": 0.71, "text": 0.829, "audio": 0.62, "concat": 0.868}
SETTINGS = {(5, 1): 0.0, (5, 5): 0.07, (20, 1): -0.17}
CLASSES = ("red apple", "grapes & <b>vine</b>", "kitchen knife", "$ign of the $un", "fox")


def made_result(model="attention", accuracy=0.884, ways=5, shots=1, **more):
    provenance = {
        "versions": {"jax": "0.10.2", "fsjax": "0.1.0"},
        "device": "1 x cpu (cpu)",
        "cores": 2,
        "commit": "5b6d0a3",
    }
    line = {"kind": "result", "model": model, "data": "emoji", "split": "test", "seed": 0}
    line |= {"modalities": [model], "ways": ways, "shots": shots, "queries": 2, "apart": True}
    line |= {"accuracy": accuracy, "ci95": 0.0061, "nll": 0.41, "ece": 0.02, "seconds": 3.2}
    return line | {"episodes": 1000, "transductive": False} | provenance | more


def made_comparison(against="image", difference=0.174, ways=5, shots=1, **more):
    line = {"kind": "comparison", "model": "attention", "against": against, "data": "emoji"}
    line |= {"split": "test", "ways": ways, "shots": shots, "queries": 2, "seed": 0}
    return line | {"difference": difference, "ci95": 0.007} | more


def made_lines(seed=0):
    """The results and comparisons of a run."""
    lines = [
        made_result(model, accuracy + gain, *setting, seed=seed)
        for model, accuracy in MODELS.items()
        for setting, gain in SETTINGS.items()
    ]
    return lines + [
        made_comparison(model, MODELS["attention"] - MODELS[model], *setting, seed=seed)
        for model in list(MODELS)[1:]
        for setting in SETTINGS
    ]


def drawing(way, random):
    """A 32 x 32 picture of its way, in a style of its own."""
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    shapes = (
        x**2 + y**2,
        np.abs(x) + np.abs(y),
        np.maximum(abs(x), abs(y)),
        y + abs(x) + 0.4,
        abs(x),
    )
    image = np.full((32, 32, 3), 255, np.uint8)
    image[shapes[way] < random.uniform(0.35, 0.7)] = random.integers(20, 210, 3)
    return image


def made_inspection(random):
    ways, shots, queries = 5, 2, 2
    centres = random.normal(size=(ways, 64)) * 1.6
    support, query = np.repeat(range(ways), shots), np.repeat(range(ways), queries)
    rows = [centres[w] + random.normal(size=64) for w in (*support, *query)]
    prototypes = np.array(rows[: ways * shots]).reshape(ways, shots, 64).mean(1)
    guesses = query.copy()
    guesses[[3, 8]] = 0
    return {
        "confusion": np.eye(5) * 80 + random.integers(0, 9, (5, 5)),
        "confusion_classes": np.array(CLASSES),
        "picture_features": np.concatenate([rows, prototypes]).astype("f4"),
        "picture_images": np.stack([drawing(w, random) for w in (*support, *query)]),
        "picture_labels": np.concatenate([support, query, np.arange(ways)]),
        "picture_kinds": np.repeat(["support", "query", "prototype"], [10, 10, 5]),
        "picture_predictions": guesses,
        "picture_classes": np.array(CLASSES),
        "attention_modalities": np.array(["audio", "image", "text"]),
        "attention": random.dirichlet((2, 5, 6), 40).T,
    }


def made_npz(path, **changes):
    """Sixty classes of six rows, told apart by a picture and by two numbers."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(60), 6)
    shape, number = random.normal(size=(60, 3, 3, 1)), random.normal(size=(60, 2))
    arrays = {
        "cls": labels,
        "pictures": (shape[labels] + 0.3 * random.normal(size=(360, 3, 3, 1))).astype(np.float32),
        "numbers": (number[labels] + 0.3 * random.normal(size=(360, 2))).astype(np.float32),
    }
    np.savez(path, **(arrays | changes))
    return path


def made_csv(folder):
    """Forty classes of four things, told apart by a picture in a file, some by a number too."""
    random = np.random.default_rng(0)
    lines = ["image,size,label"]
    for label, colour in enumerate(random.integers(40, 216, (40, 3))):
        for i in range(4):
            pixels = np.clip(colour + random.integers(-40, 40, (8, 8, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{label}_{i}.png")
            size = f"{label + random.normal():.3f}" if i else ""
            lines.append(f"{label}_{i}.png,{size},{label}")
    path = folder / "things.csv"
    path.write_text("\n".join(lines))
    return path


def small_config(path, **train_settings):
    """The default config cut down to the npz."""
    config = get_config()
    config.data.update(name="npz", path=str(path), columns="image:pictures,tabular:numbers")
    config.update(modalities="image,tabular", compare="tabular,raw", workers=1)
    config.encoders.image = "raw"
    config.train.update(steps=4, chunk=2, ways=4, queries=1, drop=0.2, **train_settings)
    config.validation.update(ways=4, queries=1, episodes=8)
    config.test.update(settings=((3, 1), (3, 2)), episodes=20)
    return config


def small_flags(path, **changes):
    """The arguments of a small job on the numbers of the npz, which is made."""
    keys = {
        "data.name": "npz",
        "data.path": made_npz(path),
        "data.columns": "tabular:numbers",
        "modalities": "tabular",
        "compare": "",
        "norm": "group",
        "train.ways": 3,
        "train.steps": 4,
        "train.chunk": 2,
        "validation.ways": 3,
        "validation.episodes": 9,
        "test.settings": "((3,1),)",
        "test.episodes": 21,
    }
    return [f"--config.{key}={value}" for key, value in (keys | changes).items()]


def bare_run(folder, **config):
    """A work directory with settings and results alone."""
    settings = get_config().to_dict() | config
    write_lines(folder / "results.jsonl", made_lines(settings["seed"]))
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def full_run(folder):
    """A work directory with all its parts."""
    bare_run(folder)
    random = np.random.default_rng(0)
    for name, level in MODELS.items():
        lines = [
            {
                "step": step,
                "loss": 3 * np.exp(-step / 200) + 1 - level + random.uniform(0, 0.1),
                "accuracy": 0.5,
                "validation": level - 0.2 - 0.3 * np.exp(-step / 150),
                "minutes": step / 200,
            }
            for step in range(100, 700, 100)
        ]
        write_lines(folder / "models" / name / "metrics.jsonl", lines)
    np.savez(folder / "inspection.npz", **made_inspection(random))
    return folder


def row_of(text, label):
    """The cells of the row of a text table that begins with a label."""
    row = next(line for line in text.splitlines() if line.startswith(label + "  "))
    return re.split(r"\s{2,}", row[len(label) :].strip())


@pytest.fixture(scope="session")
def write_npz():
    return made_npz


@pytest.fixture(scope="session")
def write_csv():
    return made_csv


@pytest.fixture(scope="session")
def small():
    return small_config


@pytest.fixture(scope="session")
def job_flags():
    return small_flags


@pytest.fixture(scope="session")
def result():
    return made_result


@pytest.fixture(scope="session")
def comparison():
    return made_comparison


@pytest.fixture(scope="session")
def all_lines():
    return made_lines()


@pytest.fixture(scope="session")
def make_bare():
    return bare_run


@pytest.fixture(scope="session")
def make_run():
    return full_run


@pytest.fixture(scope="session")
def cells():
    return row_of


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A work directory with all its parts; not to be changed."""
    return full_run(tmp_path_factory.mktemp("runs") / "run <1>")
