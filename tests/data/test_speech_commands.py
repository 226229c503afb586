"""Spoken commands beside icons: what is read, and what is refused."""

import numpy as np
import pytest

from fsjax.data.speech_commands import read_speech_commands

ARRAYS = {
    "images": np.arange(3 * 4, dtype=np.uint8).reshape(3, 2, 2),
    "img_cls": np.array([1, 0, 1]),
    "logmel": np.arange(4 * 6, dtype=np.uint8).reshape(4, 2, 3),
    "aud_cls": np.array([0, 0, 1, 1]),
    "speaker": np.array([5, 7, 5, 7]),
    "names": np.array(["stop", "zoom in"]),
}


def saved(folder, **changes):
    np.savez(folder / "some.npz", **ARRAYS | changes)
    return folder / "some.npz"


def test_sounds_are_grouped_by_speaker_frames_first_and_classes_described_by_name(tmp_path):
    table = read_speech_commands(saved(tmp_path), length=8)
    assert table.classes == ("stop", "zoom in") and set(table.sources) == {"audio", "image"}
    audio = table.sources["audio"]
    np.testing.assert_array_equal(audio.values["audio"][1], ARRAYS["logmel"][1].T)
    np.testing.assert_array_equal(audio.group, [5, 7, 5, 7])
    np.testing.assert_array_equal(table.sources["image"].labels, [1, 0, 1])
    assert bytes(c - 1 for c in table.side["keyword"][0] if c) == b"stop"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"speaker": np.array([1])}, "speaker has 1 rows beside 4"),
        ({"aud_cls": np.array([0, 0, 1, 2])}, "aud_cls is not everywhere from 0 to 1"),
    ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path, changes, said):
    with pytest.raises(ValueError, match=said):
        read_speech_commands(saved(tmp_path, **changes))
