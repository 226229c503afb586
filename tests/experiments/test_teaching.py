"""Students and their teachers in a run: who is trained first, by whom, and what is refused."""

from functools import partial

import jax
import numpy as np
import pytest

from experiments import build, dry_run, fitting, jobs, results, teaching, train
from experiments.configs import emoji
from experiments.stopping import Stop, Stopped
from fsjax.data.pool import make_pool


@pytest.fixture(scope="module")
def taught(tmp_path_factory, small, write_npz):
    """A run whose second model is taught by its first, and the pool of its training classes."""
    folder = tmp_path_factory.mktemp("taught")
    config = small(write_npz(folder / "data.npz"))
    config.update(compare="tabular+taught", fusion="plain")
    config.train.update(steps=2, drop=0.0)
    config.test.update(settings=((3, 1),), episodes=4)
    lines = train.train(config, folder / "work")
    return config, folder / "work", lines, make_pool(build.tables(config)["train"])


def test_a_student_of_one_modality_is_trained_and_tested_beside_its_teacher(taught):
    _, workdir, lines, _ = taught
    modalities = {line["model"]: line["modalities"] for line in lines if line["kind"] == "result"}
    assert modalities == {"plain": ["image", "tabular"], "tabular+taught": ["tabular"]}
    (metrics,) = results.read_lines(workdir / "models" / "tabular+taught" / "metrics.jsonl")
    assert metrics["apart"] > 0


def restored(taught, name):
    """A model's parameters before training and after."""
    config, workdir, _, pool = taught
    job = jobs.prepare(build.models(config)[name], pool)
    return job.state.params, fitting.trained_params(job, workdir / "models" / name)


def test_a_student_that_has_learned_is_restored_without_its_teacher(taught):
    kernels = [
        params["network"]["encoders_tabular"]["Dense_0"]["kernel"]
        for params in restored(taught, "tabular+taught")
    ]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-4


def test_the_teacher_is_the_trained_model_in_the_run_as_in_another(taught, tmp_path):
    config, workdir, _, pool = taught
    again = config.copy_and_resolve_references()
    again.teacher.update(workdir=str(workdir), model="plain")
    again.update(modalities="tabular,image", objective="distillation")
    again.data.update(stream=True, ahead=2)  # the same rows, to the bit
    assert teaching.in_order(again) == [["plain", "tabular+taught"]]
    _, expected = restored(taught, "plain")
    pools = {"train": pool, "validation": pool}
    for asked, folder in ((config, workdir), (again, tmp_path)):
        teacher = teaching.teacher_of(asked, "tabular+taught", pools, folder)
        jax.tree.map(np.testing.assert_array_equal, teacher.params, expected)
        assert teacher.config.modalities == "image,tabular"
    assert teaching.teacher_of(config, "plain", pools, workdir) is None


def test_a_teacher_is_set_by_validation_as_it_is_where_it_is_tested(taught, monkeypatch):
    config, workdir, _, pool = taught
    monkeypatch.setitem(build.CHOSEN, "metric", lambda params, measure: params | {"weight": 3.0})
    pools = {"train": pool, "validation": pool}
    assert teaching.teacher_of(config, "tabular+taught", pools, workdir).params["weight"] == 3.0


def test_a_teacher_of_the_run_is_trained_before_all_others(taught):
    config = taught[0].copy_and_resolve_references()
    config.compare = "tabular+taught,tabular"
    assert teaching.in_order(config) == [["plain"], ["tabular+taught", "tabular"]]
    config.teacher.model = "tabular"
    assert teaching.in_order(config) == [["tabular"], ["plain", "tabular+taught"]]
    config.compare = "tabular"
    assert teaching.in_order(config) == [["plain", "tabular"]]  # nobody is taught


RUN = "the run"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objective": "distillation"}, "'plain' cannot teach, as it is taught itself"),
        ({"compare": "raw,taught", "teacher.model": "raw"}, "'raw' is not trained"),
        ({"teacher.model": "plane"}, "did you mean 'plain'"),
        ({"teacher.workdir": "nowhere"}, "nowhere holds no run"),
        ({"teacher.workdir": RUN, "data.splits": "halves"}, "data.splits was 'digest' and is"),
        ({"teacher.workdir": RUN, "modalities": "tabular"}, "sees image, which config.modalities"),
        ({"teacher.match": "neighbour"}, r"config\.teacher\.match=.*mean 'neighbours'"),
        ({"teacher.weight": -1.0}, "must not be negative"),
        ({"teacher.temperature": 0.0, "teacher.match": "probabilities"}, "must be positive"),
        ({"base.steps": 1, "compare": "taught"}, "config.base.steps=0"),
        ({"learner": "proto_maml"}, "take config.teacher.match=probabilities"),
    ],
)
def test_what_cannot_be_taught_is_refused_before_training(taught, tmp_path, changes, said):
    config, workdir, *_ = taught
    config = config.copy_and_resolve_references()
    changes = {key: str(workdir) if value is RUN else value for key, value in changes.items()}
    config.update_from_flattened_dict(changes)
    with pytest.raises(ValueError, match=said):
        train.train(config, tmp_path / "work")
    assert not list(tmp_path.glob("work/models/*/checkpoints"))


def test_a_model_is_taught_whatever_else_is_changed_and_in_whatever_order():
    config = emoji.get_config()
    config.compare = "taught+maml,image+matching+taught"
    _, maml, matching = build.models(config).values()
    assert maml.objective == matching.objective == "distillation"
    assert (maml.learner, matching.head, matching.modalities) == ("maml", "matching", "image")


def test_a_teacher_may_lie_in_the_home_directory(taught, monkeypatch):
    config, workdir, *_ = taught
    config = config.copy_and_resolve_references()
    monkeypatch.setenv("HOME", str(workdir.parent))
    config.teacher.workdir = f"~/{workdir.name}"
    assert teaching.in_order(config) == [["plain", "tabular+taught"]]


def test_a_teacher_that_was_not_trained_is_refused(taught, tmp_path):
    config, workdir, *_ = taught
    (tmp_path / "config.json").write_bytes((workdir / "config.json").read_bytes())
    config = config.copy_and_resolve_references()
    config.teacher.workdir = str(tmp_path)
    with pytest.raises(ValueError, match="'plain' was not trained there"):
        teaching.in_order(config)


def test_a_teacher_whose_training_was_interrupted_is_refused_before_all_others_are_trained(
    taught, tmp_path, monkeypatch
):
    def stopped(*given):
        raise Stopped

    config = taught[0].copy_and_resolve_references()
    config.update(compare="")
    config.train.update(steps=2, chunk=1)
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Stop, "after_chunk", stopped)
        train.train(config, tmp_path / "half")
    config.update(compare="tabular+taught")
    config.teacher.workdir = str(tmp_path / "half")
    for begin in (dry_run.plan, partial(train.train, workdir=tmp_path / "work")):
        with pytest.raises(ValueError, match="half/models/plain was interrupted at step 1 of 2"):
            begin(config)
    assert not (tmp_path / "work" / "models").exists()


def test_distillation_without_a_teacher_says_how_to_name_one(taught):
    variant = build.models(taught[0])["tabular+taught"]
    training = build.training(variant, build.model(variant), None)
    with pytest.raises(ValueError, match="wants a teacher"):
        training.objective({}, np.zeros(1), jax.random.key(0), 0)
