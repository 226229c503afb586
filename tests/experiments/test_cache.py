"""Features of frozen encoders: computed once, from where it was, whatever becomes of files."""

import io
import os

import numpy as np
import pytest

from experiments import build, cache
from experiments.configs import emoji, grocery
from fsjax.data.table import Table, rows
from fsjax.pretrained import Pretrained


class Counted:
    """An encoder that sums rows up, notes what it is asked for, and may be killed."""

    def __init__(self, lives=99):
        self.asked, self.lives = [], lives

    def __call__(self, x):
        if len(self.asked) == self.lives:
            raise KeyboardInterrupt
        if x.dtype == np.int64:
            raise ValueError("no such rows")
        self.asked.append(len(x))
        return x.reshape(len(x), -1)[:, :1].astype(np.float32) * 2


def encoder(embed, digest="a"):
    return Pretrained("doubles", digest, "image", embed)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FSJAX_CACHE", str(tmp_path / "kept"))
    monkeypatch.setattr(cache, "BLOCK", 4)
    return tmp_path / "kept" / "features" / "doubles"


def numbers(count=10):
    return np.arange(count, dtype=np.uint8)[:, None]


def test_rows_are_embedded_once(folder):
    embed = Counted()
    found = cache.features(encoder(embed), numbers())
    np.testing.assert_array_equal(found, 2.0 * numbers())
    assert found.dtype == np.float32 and embed.asked == [4, 4, 2]
    np.testing.assert_array_equal(cache.features(encoder(embed), numbers()), found)
    assert embed.asked == [4, 4, 2] and len(list(folder.iterdir())) == 3
    cache.features(encoder(embed, "other weights"), numbers())
    cache.features(encoder(embed), numbers() + 1)
    cache.features(encoder(embed), numbers().astype(np.float32))
    assert embed.asked == 4 * [4, 4, 2]


def test_what_was_killed_goes_on_where_it_was():
    with pytest.raises(KeyboardInterrupt):
        cache.features(encoder(Counted(lives=2)), numbers())
    embed = Counted()
    np.testing.assert_array_equal(cache.features(encoder(embed), numbers()), 2.0 * numbers())
    assert embed.asked == [2]


def flipped(place):
    """Features of four rows as they are kept, but for a bit of the header."""
    file = io.BytesIO()
    np.save(file, np.zeros((4, 1), np.float32))
    kept = bytearray(file.getvalue())
    kept[place] ^= 1
    return bytes(kept)


DAMAGES = [b"", b"\x93NUMPY\x01\x00 and no more", b"PK\x03\x04 and no more"]
DAMAGES += [flipped(65), flipped(68)]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_again(folder, damage):
    embed = Counted()
    cache.features(encoder(embed), numbers())
    one = next(iter(folder.iterdir()))
    one.write_bytes(damage)
    np.testing.assert_array_equal(cache.features(encoder(embed), numbers()), 2.0 * numbers())
    assert len(embed.asked) == 4
    cut = np.load(one)[:-1]
    np.save(one, cut)
    np.testing.assert_array_equal(cache.features(encoder(embed), numbers()), 2.0 * numbers())


def test_processes_of_one_number_as_in_containers_do_not_share_a_file(monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1)
    file = io.BytesIO()
    np.save(file, Counted()(numbers(4)))
    content = file.getvalue()

    def killed(file, found):
        file.write(content[:-12])
        raise KeyboardInterrupt

    def disturbed(file, found):
        file.write(content[:-4])
        file.flush()
        monkeypatch.setattr(np, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            cache.features(encoder(Counted()), numbers(4))
        file.write(content[-4:])

    monkeypatch.setattr(np, "save", disturbed)
    cache.features(encoder(Counted()), numbers(4))
    np.testing.assert_array_equal(cache.features(encoder(Counted()), numbers(4)), 2.0 * numbers(4))


def test_features_are_computed_where_none_can_be_kept(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FSJAX_CACHE", str(tmp_path / "file"))
    embed = Counted()
    np.testing.assert_array_equal(cache.features(encoder(embed), numbers()), Counted()(numbers()))


def table():
    values = {"image": numbers(), "text": numbers().astype(np.float32)}
    return Table(("a", "b"), {"rows": rows(values, numbers()[:, 0] % 2)}, {"icon": numbers(2)})


def test_modalities_and_descriptions_become_features_and_others_stay():
    made = encoder(Counted())
    found = cache.embedded(table(), {"image": made, "icon": made})
    np.testing.assert_array_equal(found.sources["rows"].values["image"], 2.0 * numbers())
    np.testing.assert_array_equal(found.side["icon"], 2.0 * numbers(2))
    assert found.sources["rows"].values["text"] is not made and found.classes == ("a", "b")
    np.testing.assert_array_equal(found.sources["rows"].values["text"], numbers())
    wrong = table()._replace(side={"icon": np.zeros((2, 1), np.int64)})
    with pytest.raises(ValueError, match="icon cannot be frozen by doubles: no such rows"):
        cache.embedded(wrong, {"icon": made})


@pytest.fixture
def frozen_emoji(monkeypatch):
    """The main job with its drawings seen through an encoder that gives their mean colour."""

    def mean(images):
        return images.mean((1, 2), dtype=np.float32)

    of_colour = Pretrained("doubles", "mean", "image", mean)
    monkeypatch.setitem(build.PRETRAINED, "doubles", lambda: of_colour)
    monkeypatch.setattr(cache, "BLOCK", 4096)
    config = emoji.get_config()
    config.update(modalities="image", compare="", frozen="image:doubles")
    return config


def test_a_config_freezes_a_modality_and_every_encoder_of_rows_takes_it(frozen_emoji):
    tables = build.tables(frozen_emoji)
    shape = tables["test"].sources["image"].values["image"].shape
    assert shape[1:] == (3,) and shape[0] > 1000
    assert build.encoder_name(frozen_emoji, "image") == "mlp"
    frozen_emoji.encoders.image = "linear"
    assert build.encoder_name(frozen_emoji, "image") == "linear"
    assert build.model(frozen_emoji).fast is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frozen": "image:dubles"}, "did you mean 'doubles'"),
        ({"frozen": "image"}, "'image' in 'image' is no pair: write image:NAME"),
        ({"frozen": "image:doubles,words:doubles"}, "config.frozen names words"),
        ({"train": {"warp": 0.1}}, "config.train.warp changes images"),
        ({"data": {"reflections": True}}, "config.data.reflections changes images"),
    ],
)
def test_what_cannot_be_frozen_is_said(frozen_emoji, changes, message):
    frozen_emoji.update(changes)
    with pytest.raises(ValueError, match=message):
        build.tables(frozen_emoji)


def test_the_grocery_config_names_parts_that_exist():
    config = grocery.get_config()
    assert list(build.models(config)) == ["prototype", "raw"]
    assert {build.encoder_name(v, "image") for v in build.models(config).values()} == {
        "linear_unit",
        "raw",
    }
