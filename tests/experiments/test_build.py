"""From a config to tables: which classes and rows each split gets."""

import json
import re
import shlex
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags
from PIL import Image

from experiments import build, dealer, fitting, jobs
from experiments.configs import (
    emoji,
    emoji_heads,
    emoji_triangular,
    grocery_finetune,
    grocery_recipes,
    leaf_recipes,
    omniglot,
    omniglot_maml,
    omniglot_papers,
    omniglot_pictures,
    own,
)
from fsjax.data.omniglot import PARTS
from fsjax.data.pool import make_pool
from fsjax.learners.maml import GradientLearner
from fsjax.types import Inputs, Pool, Source, Support

SPLITS = {"train": ["Greek/a", "Greek/b"], "val": ["Greek/c"], "test": ["Tibetan/a", "Tibetan/b"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five characters, each of three drawings."""
    root, rng = tmp_path_factory.mktemp("omniglot"), np.random.default_rng(0)
    for name in (name for names in SPLITS.values() for name in names):
        path = root / PARTS[name.startswith("Tibetan")] / name
        path.mkdir(parents=True)
        for drawer in (1, 2, 3):
            pixels = rng.integers(0, 256, (35, 35), np.uint8)
            Image.fromarray(pixels).save(path / f"07_{drawer:02}.png")
    (root / "splits.json").write_text(json.dumps(SPLITS))
    return root


def config_of(folder, splits):
    config = omniglot.get_config()
    config.data.update(path=str(folder), splits=splits)
    for part in (config.train, config.validation):
        part.update(ways=4, queries=1)
    config.test.update(settings=((4, 2),), queries=1)
    return config


def test_omniglot_takes_the_splits_of_a_file_and_turns_each_class(folder):
    tables = build.tables(config_of(folder, str(folder / "splits.json")))
    sizes = {split: len(table.classes) for split, table in tables.items()}
    assert sizes == {"train": 8, "validation": 4, "test": 8}
    assert tables["test"].classes[:3] == ("Tibetan/a", "Tibetan/b", "Tibetan/a/90")
    assert tables["test"].sources["image"].values["image"].shape == (24, 28, 28, 1)


@pytest.fixture
def views(tmp_path):
    """The config of two pictures and a text of each of four things."""
    rng, lines = np.random.default_rng(0), []
    for i in range(4):
        for view in ("front", "side"):
            noise = rng.integers(0, 256, (9, 9, 3), np.uint8)
            Image.fromarray(noise).save(tmp_path / f"{view}{i}.png")
        lines.append(f"{'ab'[i % 2]},front{i}.png,side{i}.png,words {i}\n")
    path = tmp_path / "mine.csv"
    path.write_text("label,front,side,note\n" + "".join(lines))
    config = own.get_config()
    config.modalities = "image.front,image.side,text"
    config.data.path = str(path)
    return config


def test_several_pictures_of_a_thing_are_seen_by_encoders_of_pictures(views):
    encoders = build.model(views).module.encoders
    kinds = {name: type(encoder).__name__ for name, encoder in encoders.items()}
    assert kinds == {"image.front": "Conv4", "image.side": "Conv4", "text": "CharNgrams"}


def test_several_pictures_of_a_thing_are_warped_each(views):
    views.train.update(ways=2, shots=1, queries=1, drop=0.0)
    pool, seen = make_pool(build.read(views)), []
    for amount in (0.0, 0.1):
        views.train.warp = amount
        task = dealer.first_task(dealer.training_tasks(views, pool)(jax.random.key(0)))
        seen.append(task.query.values)
    changed = {name for name in seen[0] if (seen[0][name] != seen[1][name]).any()}
    assert changed == {"image.front", "image.side"}


@pytest.mark.parametrize(
    ("name", "column", "said"),
    [("front", "front", r"shape \[32, 32, 3\]"), ("words", "note", r"shape \[64\] and type int32")],
)
def test_a_modality_whose_encoder_nothing_says_is_told_with_the_mend(views, name, column, said):
    views.modalities, views.data.columns = name, f"{name}:{column}"
    with pytest.raises(ValueError, match=rf"{name} has rows of {said}.*image\.{name}:COLUMN"):
        build.read(views)


def test_raw_numbers_of_ones_own_are_compared_as_training_classes_scale_them(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["label,height,width"]
    for k, (a, b) in enumerate(rng.normal(size=(60, 2))):
        noise = 0.05 * rng.normal(size=(5, 2))
        lines += [f"{k},{1000 * (a + x) + 5000},{1e-3 * (b + y)}" for x, y in noise]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    config = own.get_config()
    config.update(modalities="tabular", compare="raw")
    config.data.path = str(tmp_path / "mine.csv")
    config.validation.episodes = 100
    pools = {split: make_pool(part) for split, part in build.tables(config).items()}
    raw = build.models(config)["raw"]
    job = jobs.prepare(raw, pools["train"])
    params = fitting.untrained_params(job)
    scale = params["network"]["encoders_tabular"]["mean"]
    expected = pools["train"].sources["rows"].inputs.values["tabular"].mean(0)
    np.testing.assert_allclose(scale, expected, rtol=0.1, atol=2e-4)
    assert jobs.validated(raw, job.model, pools["validation"])(params) > 0.9


def test_data_that_are_not_here_are_looked_for_in_the_folder_of_the_variable(folder, monkeypatch):
    monkeypatch.setenv("FSJAX_DATA", str(folder.parent))
    tables = build.tables(config_of(folder.name, f"{folder.name}/splits.json"))
    assert tables["test"].classes[0] == "Tibetan/a"
    monkeypatch.delenv("FSJAX_DATA")
    with pytest.raises((ValueError, OSError), match=folder.name):
        build.tables(config_of(folder.name, f"{folder.name}/splits.json"))


def test_a_path_may_begin_in_the_home_of_the_user(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert build.reading.located("~/things.csv") == "/home/ada/things.csv"
    assert build.reading.located("") == ""


def test_a_frozen_encoder_reads_texts_that_are_longer_than_a_name(tmp_path):
    long = "one thing of many that are described at length and begin alike: "
    lines = [f"{name},{long}{what}" for name, what in (("a", "a fox"), ("b", "a key"))]
    (tmp_path / "all.csv").write_text("\n".join(["label,text", *lines]))
    config = own.get_config()
    config.data.path = str(tmp_path / "all.csv")
    config.update(modalities="text", frozen="text:minilm")
    one, other = build.read(config).sources["rows"].values["text"]
    assert one.shape == (1024,) and (one != other).any()
    config.frozen = ""
    config.data.text_length = 80
    assert build.read(config).sources["rows"].values["text"].shape == (2, 80)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e-5])
def test_sounds_that_a_frozen_encoder_hears_have_a_sample_at_least(seconds):
    config = own.get_config()
    config.update(modalities="audio", frozen="audio:soundnet")
    config.data.update(path="mine.csv", seconds=seconds)
    with pytest.raises(ValueError, match=rf"config\.data\.seconds={seconds} .* ask for more"):
        build.read(config)


def test_training_classes_alone_are_mirrored(folder):
    config = config_of(folder, str(folder / "splits.json"))
    config.data.reflections = True
    sizes = {split: len(table.classes) for split, table in build.tables(config).items()}
    assert sizes == {"train": 16, "validation": 4, "test": 8}


def test_the_model_of_the_omniglot_config_can_be_built():
    config = omniglot.get_config()
    assert list(build.models(config)) == ["prototype"]
    assert build.model(config).fast is not None


def test_heads_are_compared_each_with_all_else_alike():
    config = emoji_heads.get_config()
    variants = build.models(config)
    assert {variant.head for variant in variants.values()} == set(build.HEADS)
    for variant in variants.values():
        variant.head = config.head
        assert variant.to_dict() == config.to_dict()


@pytest.mark.parametrize("module", [grocery_recipes, leaf_recipes])
def test_recipes_are_told_apart_by_what_is_trained_how_and_by_what_the_classes_are_told(module):
    variants = build.models(module.get_config())
    found = {(v.learner, v.head, v.objective, v.train.steps > 0) for v in variants.values()}
    assert len(found) == len(variants)
    assert variants["supervised"].objective == "supervised"
    assert variants["raw"].encoders.image == variants["raw+ridge"].encoders.image == "raw"
    assert variants["raw+ridge"].train.steps == 0 and variants["raw+ridge"].head == "ridge"
    assert all(build.model(variant).fast is not None for variant in variants.values())


@pytest.mark.parametrize("learner", build.TOLD)
def test_what_reads_descriptions_is_computed_in_the_precision_of_a_config(learner):
    config = emoji.get_config()
    config.update(modalities="audio", learner=learner, side="words", precision="bfloat16")
    config.encoders.update(audio="raw", words="bytes")
    rows = Inputs({"audio": jnp.ones((5, 8))}, {"audio": jnp.ones(5)})
    words = Inputs({"words": jnp.ones((5, 4), jnp.int32)}, {"words": jnp.ones(5)})
    support, learner = Support(rows, jnp.eye(5), words), build.model(config).learner
    params = jax.eval_shape(learner.init, jax.random.key(0), support)
    program = str(jax.make_jaxpr(learner.adapt)(params, support))
    assert "bf16[257,64]" in program


def test_what_needs_descriptions_says_so():
    config = emoji.get_config()
    for learner in build.TOLD:
        config.learner = learner
        with pytest.raises(ValueError, match=f"config.learner='{learner}' wants class desc"):
            build.model(config)
    config.update(learner="am3", head="ridge", side="words")
    with pytest.raises(ValueError, match="take a head of prototype, relation"):
        build.model(config)


def test_one_of_the_models_compared_may_have_several_changes_one_after_another():
    config = emoji_triangular.get_config()
    variants = build.models(config)
    found = {name: (variant.learner, variant.head) for name, variant in variants.items()}
    assert found == {
        "hallucinate": ("hallucinate", "triangular"),
        "prototype": ("metric", "prototype"),
        "relation": ("metric", "relation"),
        "triangular": ("metric", "triangular"),
        "prototype+hallucinate": ("hallucinate", "prototype"),
    }
    config.compare = "image+protoype"
    with pytest.raises(ValueError, match="did you mean 'prototype'"):
        build.models(config)


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        ("data", "name", "emojis", r"config\.data\.name='emojis'.*did you mean 'emoji'"),
        ("data", "name", "csv", r"config\.data\.path is empty"),
        ("data", "name", "npz", r"config\.data\.name=npz wants config\.data\.columns"),
        ("train", "drop", 30.0, r"config\.train\.drop=30.0 is a share: from 0 to 1"),
        ("inner", "first_order", -1.0, r"config\.inner\.first_order=-1.0 is a share"),
        ("train", "shots", -1, r"for shots as 5, or few to many as \(1, 3\)"),
    ],
)
def test_a_value_that_cannot_be_is_told_by_its_whole_key(part, key, value, message):
    config = emoji.get_config()
    config[part][key] = value
    with pytest.raises(ValueError, match=message):
        build.tables(config)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("image+text", "modalities='text' in the end, and so nothing of 'image'"),
        ("hallucinate+ridge", "learner='metric' in the end, and so nothing of 'hallucinate'"),
        ("views+hallucinate", "objective='own' in the end, and so nothing of 'views'"),
        ("ridge+raw", "head='prototype' in the end, and so nothing of 'ridge'"),
        ("late+image", "fusion='plain' in the end, and so nothing of 'late'"),
    ],
)
def test_several_changes_of_which_one_undoes_another_are_refused(name, said):
    config = emoji.get_config()
    config.compare = f"concat,{name}"
    with pytest.raises(ValueError, match=said):
        build.models(config)


def test_a_model_compared_is_not_dropped_because_another_has_its_name():
    config = emoji.get_config()
    config.update(learner="hallucinate", compare="hallucinate")
    assert len(build.models(config)) == 1  # the same once more
    config.objective = "episodic"
    with pytest.raises(ValueError, match=r"'hallucinate', as the model configured is .*episo"):
        build.models(config)


def test_a_modality_compared_that_the_run_does_not_see_is_told_with_what_to_set():
    config = emoji.get_config()
    config.modalities = "image,text"
    with pytest.raises(ValueError, match=r"set --config\.compare=concat,image,text,raw"):
        build.models(config)


@pytest.fixture
def configured(monkeypatch):
    """What a command of the README makes of the default config."""
    monkeypatch.chdir(Path(__file__).parents[2])

    def configure(command):
        words = [word for word in shlex.split(command) if word.startswith("--config")]
        asked = [word for word in words if "=" in word and "config.key=" not in word]
        values = flags.FlagValues()
        monkeypatch.setattr(sys, "argv", ["train", *asked])  # where the overrides are read
        config_flags.DEFINE_config_file("config", emoji.__file__, flag_values=values)
        values(sys.argv)
        return values.config

    return configure


def readme():
    return Path(build.__file__).parents[2].joinpath("README.md").read_text().replace("\\\n", " ")


def test_the_models_of_what_the_readme_sets_can_be_named(configured):
    for command in set(re.findall(r"--config[.=][^`\n]*", readme())):
        assert build.models(configured(command))


def test_the_readmes_training_on_an_npz_takes_forty_classes(configured, tmp_path):
    (command,) = re.findall(r".*data\.name=npz.*", readme())
    labels, numbers = np.repeat(np.arange(40), 10), np.ones((400, 3), np.float32)
    values = dict.fromkeys(("margin", "shape", "texture"), numbers)
    np.savez(tmp_path / "leaves.npz", cls=labels, **values)
    config = configured(command)
    config.data.path = str(tmp_path / "leaves.npz")
    assert len(build.tables(config)["train"].classes) > 20


def test_a_generator_told_of_descriptions_wants_their_name():
    config = emoji_triangular.get_config()
    config.generation.condition = "both"
    with pytest.raises(ValueError, match="words for emoji"):
        build.model(config)
    config.generation.side = "words"
    assert build.model(config).fast is not None


@pytest.mark.parametrize("weights", ["equal", "missing"])
def test_a_class_without_rows_is_known_by_its_description_if_rows_are_made_of_it(weights):
    config = emoji_triangular.get_config()
    config.generation.update(weights=weights, side="words")
    assert build.known_by(config) == ()
    config.generation.condition = "side"
    assert build.known_by(config) == ("words",)
    config.generation.rows = 0
    assert build.known_by(config) == ()


@pytest.mark.parametrize("weights", ["equal", "missing"])
def test_synthetic_rows_are_as_many_for_all_classes_or_as_each_lacks(weights):
    config = emoji_triangular.get_config()
    config.generation.weights = weights
    assert build.model(config).fast is not None
    config.generation.weights = f"{weights[:-1]}"
    with pytest.raises(ValueError, match=f"did you mean '{weights}'"):
        build.model(config)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"generation.generator": "wgam"}, r"config\.generation\.generator='wgam'.*mean 'wgan'"),
        ({"generation.triplets": "hardd"}, r"config\.generation\.triplets=.*mean 'hard'"),
        ({"learner": "pictures"}, "'wgan' makes no rows for .*'pictures': take wgan_pictures"),
        ({"generation.generator": "wgan_pictures"}, "'hallucinate': take wgan or vae"),
    ],
)
def test_a_generator_and_triplets_that_do_not_fit_are_told_by_their_keys(changes, said):
    config = emoji_triangular.get_config()
    config.update_from_flattened_dict({"modalities": "image"} | changes)
    with pytest.raises(ValueError, match=said):
        build.training(config, build.model(config), None)


def test_triplets_train_no_head_without_a_relation():
    config = emoji_triangular.get_config()
    config.update(learner="metric", head="ridge", objective="ranking")
    with pytest.raises(ValueError, match="trains the heads triangular and not"):
        build.training(config, build.model(config), None)


def test_what_gradient_learners_are_compared_with_takes_no_gradient_steps():
    config = emoji_heads.get_config()
    config.update(learner="proto_maml", compare="concat,matching,raw")
    learners = {name: variant.learner for name, variant in build.models(config).items()}
    metric = dict.fromkeys(("matching", "raw"), "metric")
    assert learners == metric | dict.fromkeys(("proto_maml", "concat"), "proto_maml")


def test_a_class_without_rows_changes_nothing_that_proto_maml_says_of_others():
    config = emoji_heads.get_config()
    config.update(learner="proto_maml", modalities="tabular", fusion="plain")
    config.encoders.tabular = "linear"
    learner = build.model(config).learner
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    inputs = Inputs({"tabular": jnp.asarray(x)}, {"tabular": jnp.ones(6)})
    labels = jnp.eye(3)[jnp.array([0, 1, 2, 0, 1, 2])]
    params = learner.init(jax.random.key(0), Support(inputs, labels, Inputs({}, {})))

    def answered(labels):
        task = learner.adapt(params, Support(inputs, labels, Inputs({}, {})))
        return learner.predict(params, task, inputs)

    more = answered(jnp.pad(labels, [(0, 0), (0, 1)]))
    np.testing.assert_allclose(more[:, :3], answered(labels), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", omniglot_papers.SETTINGS)
def test_the_settings_of_the_papers_name_parts_that_exist(name):
    config = omniglot_papers.get_config(name)
    assert config.test.settings == ((config.train.ways, config.train.shots),)
    assert isinstance(build.model(config).learner, GradientLearner)


def test_learners_are_compared_each_with_its_own_objective():
    config = omniglot_maml.get_config()
    config.update(compare="anil,matching", objective="episodic")
    variants = build.models(config)
    assert {name: v.learner for name, v in variants.items()} == {
        "maml": "maml",
        "anil": "anil",
        "matching": "metric",
    }
    assert [v.objective for v in variants.values()] == ["episodic", "own", "episodic"]


@pytest.mark.parametrize(
    ("learner", "objective"),
    [
        ("metric", "multi_step"),
        ("proto_maml", "reptile"),
        ("imaml", "multi_step"),  # no gradient comes from its path
        ("imputed", "episodic"),  # nothing would train what it fills in
        ("imputed", "distillation"),
    ],
)
def test_objectives_refuse_a_learner_that_they_would_leave_untrained(learner, objective):
    config = omniglot_maml.get_config()
    config.update(learner=learner, objective=objective)
    with pytest.raises(ValueError, match=f"and not config.learner='{learner}'"):
        build.training(config, build.model(config), None)


@pytest.mark.parametrize(("learner", "rows"), [("metric", 0), ("metric", 1), ("maml_pp", 0)])
def test_a_class_of_which_a_model_sees_no_row_is_no_answer_in_training(learner, rows):
    config = own.get_config()
    config.update(modalities="tabular", learner=learner, head="prototype", fusion="plain")
    config.train.update(ways=2, shots=1, queries=1, drop=0.0)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 3)), jnp.float32)
    present = jnp.ones(8).at[jnp.array([0, 1, 2, 3])].set(rows)  # of the first class
    inputs = Inputs({"tabular": x, "text": x}, {"tabular": present, "text": jnp.ones(8)})
    source = Source(inputs, jnp.arange(8).reshape(2, 4), jnp.full(2, 4), jnp.arange(8))
    pool = Pool({"rows": source}, Inputs({}, {}))
    job = jobs.prepare(config, pool)
    batch = job.training.sample(jax.random.key(0))
    batch = batch._replace(targets=jnp.eye(2)[None])  # each class is asked for
    gradients, metrics = job.training.objective(job.state.params, batch, jax.random.key(0), 0)
    assert (metrics["loss"] > 0) == rows
    assert any(x.any() for x in jax.tree.leaves(gradients)) == rows


@pytest.mark.parametrize("objective", ["supervised", "leave_one_out"])
def test_objectives_that_train_a_head_refuse_a_learner_without(objective):
    config = emoji_heads.get_config()
    config.update(learner="maml", objective=objective)
    with pytest.raises(ValueError, match=r"learners metric.* and not config\.learner='maml'"):
        build.training(config, build.model(config), None)


def test_only_objectives_of_which_every_row_asks_do_without_queries():
    config = emoji.get_config()
    config.train.queries = 0
    with pytest.raises(ValueError, match=r"config\.train\.queries=0 leaves nothing to learn"):
        build.training(config, build.model(config), None)
    config.objective, config.train.shots = "leave_one_out", 2
    build.training(config, build.model(config), None)


@pytest.mark.parametrize("head", ["prototype", "triangular"])
def test_objectives_that_compare_rows_of_a_class_refuse_one_row_alone(head):
    config = emoji.get_config()
    config.update(head=head, objective="leave_one_out" if head == "prototype" else "own")
    config.train.update(shots=1, queries=0)
    with pytest.raises(ValueError, match=r"config\.train\.shots=1 and .*one row of a class"):
        build.training(config, build.model(config), None)
    for settings in ({"queries": 1}, {"queries": 0, "shots": 2}):
        config.train.update(settings)
        build.training(config, build.model(config), None)


def test_a_model_may_begin_with_adapters_beside_a_base_that_stays():
    config = grocery_recipes.get_config()
    config.base.update(steps=1, begins="low_rank")
    support = Support(
        Inputs({"image": jnp.zeros((2, 9))}, {"image": jnp.ones(2)}), jnp.eye(2), Inputs({}, {})
    )
    base = build.model(build.base(config)).learner.init(jax.random.key(1), support)["network"]
    begun, restored = build.model(config, base), build.model(config)
    params, shapes = (
        jax.eval_shape(model.learner.init, jax.random.key(0), support)
        for model in (begun, restored)
    )
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, shapes)
    assert set(params["network"]) == {"base", "adapters"} and begun.fast is None
    network = begun.network.init(jax.random.key(0), support.inputs)
    jax.tree.map(np.testing.assert_array_equal, begun.weights(network), base)
    config.base.begins = "low_rnk"
    with pytest.raises(ValueError, match=r"base\.begins='low_rnk'.*did you mean 'low_rank'"):
        build.model(build.base(config))


def test_lora_tunes_the_adapters_that_a_base_was_given():
    config = grocery_recipes.get_config()
    config.update(learner="lora", head="prototype", encoders={"tabular": "linear"})
    config.base.update(steps=1, begins="low_rank")
    config.finetune.steps = 1
    rows = Inputs({"image": jnp.eye(4)}, {"image": jnp.ones(4)})
    support = Support(rows, jnp.eye(2)[jnp.arange(4) % 2], Inputs({}, {}))
    learner = build.model(config).learner
    params = learner.init(jax.random.key(0), support)
    task = jax.jit(learner.adapt)(params, support)
    before, after = params["network"]["adapters"], task.network["adapters"]
    assert jax.tree.structure(before) == jax.tree.structure(after)
    assert any(jnp.any(a != b) for a, b in zip(*map(jax.tree.leaves, (before, after)), strict=True))


def test_models_that_are_tuned_at_test_are_trained_alike():
    config = grocery_finetune.get_config()
    variants = build.models(config)
    for name in build.TUNED:
        assert variants[name].learner == name and build.model(variants[name]).fast is None
        variants[name].learner = "metric"
        assert variants[name].to_dict() == config.to_dict()


def test_what_has_no_last_layer_is_not_tuned():
    config = emoji.get_config()
    config.update(head="matching", learner="probe")
    with pytest.raises(ValueError, match=r"config\.learner='probe' tunes the last layer, and"):
        build.model(config)


def test_splits_that_nothing_has_name_the_nearest(folder):
    with pytest.raises(ValueError, match="did you mean 'alphabet'"):
        build.tables(config_of(folder, "alphabets"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fusion": "late", "learner": "maml"}, "take the learner metric"),
        ({"fusion": "late", "learner": "am3", "side": "words"}, "take the learner metric"),
        ({"fusion": "late_precision", "head": "triangular"}, "keeps apart"),
        ({"fusion": "late", "head": "simpleshot"}, "keeps apart"),
        ({"learner": "am3", "side": "words", "head": "simpleshot"}, "prototype, relation"),
        ({"learner": "am3"}, "config.side, words for emoji"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(changes, said):
    config = emoji.get_config()
    config.update(changes)
    with pytest.raises(ValueError, match=said):
        build.model(config)


def test_supervised_training_refuses_late_fusion():
    config = emoji.get_config()
    config.update(fusion="late", objective="supervised")
    with pytest.raises(ValueError, match="take another fusion"):
        build.training(config, build.model(config), None)


@pytest.mark.parametrize("name", build.HEADS)
def test_supervised_training_takes_the_heads_that_have_a_classifier_to_learn(name):
    config = emoji.get_config()
    config.update(head=name, objective="supervised", modalities="image", compare="")

    def task(rows):
        z, y = jnp.zeros((rows, 4)), jnp.zeros((rows, 3))
        params = jax.eval_shape(build.head(config).init, jax.random.key(0), z, y)
        return jax.tree.leaves(jax.eval_shape(build.head(config).fit, params, z, y))

    # Beside what stands for a class some hold how many rows it has.
    if task(3) == task(6) and len(task(3)) == 1:
        build.training(config, build.model(config), None)
        return
    with pytest.raises(ValueError, match="has none without support rows: take one of prototype"):
        build.training(config, build.model(config), None)


def test_shares_of_tasks_seen_through_one_modality_add_up_to_one_at_most(
    tmp_path, small, write_npz
):
    config = small(write_npz(tmp_path / "data.npz"))
    config.train.update(alone=0.6, cross=0.5)
    with pytest.raises(ValueError, match=r"train\.alone=0\.6 and config\.train\.cross=0\.5"):
        dealer.training_tasks(config, build.tables(config)["train"])


def test_streamed_rows_that_an_encoder_leaves_as_they_are_are_not_encoded_once():
    config = emoji.get_config()
    config.modalities = "image"
    config.data.stream = True
    config.encoders.audio = "raw"  # of what no model sees
    assert build.model(config).fast is not None
    config.encoders.image = "raw"
    for changes, refuse in (
        ({"objective": "views"}, lambda one: build.training(one, build.model(one), None)),
        ({"base.steps": 1, "compare": ""}, jobs.check_base),
    ):
        variant = config.copy_and_resolve_references()
        variant.update_from_flattened_dict(changes)
        with pytest.raises(ValueError, match="where rows are streamed, no encoder raw"):
            refuse(variant)


def test_pictures_are_made_of_one_modality_alone():
    config = omniglot_pictures.get_config()
    assert list(build.models(config)) == ["pictures", "prototype"]
    assert build.model(config).fast is None
    config.modalities = "image,text"
    with pytest.raises(ValueError, match="'pictures' makes rows of one modality: leave image or"):
        build.model(config)
