"""A CSV of one's own: what its columns are taken for, and that every fault names place and mend."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fsjax.data import csv_table, files, preprocess
from fsjax.data.columns import find_modalities, held
from fsjax.data.pool import make_pool
from fsjax.data.sheet import Sheet, open_csv, open_folder

SIZES = files.Sizes(image=8, frames=4, text=12)
HEADER = "label,photo,sound,caption,height,width"
ROWS = (
    "cat,a.png,a.wav,a cat,1.5,2",
    'dog,b.png,b.wav,"a dog, or two",3,-4e1',
    "cat,,b.wav,,,",
    "dog,a.png,,dog,5,6",
)


@pytest.fixture
def folder(tmp_path):
    """Files of two pictures and two sounds, of different rates."""
    for name, colour, rate in (("a", 40, 16000), ("b", 200, 22050)):
        Image.fromarray(np.full((9, 7, 3), colour, np.uint8)).save(tmp_path / f"{name}.png")
        wave = 0.3 * np.sin(np.arange(rate // 5) * 2 * np.pi * 500 / rate)
        soundfile.write(tmp_path / f"{name}.wav", wave, rate)
    (tmp_path / "words.txt").write_text("one line\nand another\n")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    (tmp_path / "note.docx").write_bytes(b"")
    return tmp_path


def write(folder, *lines, encoding="utf-8"):
    path = folder / "mine.csv"
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def read(folder, *lines, **options):
    return csv_table.read_csv(write(folder, *lines), sizes=SIZES, **options)


def test_a_row_holds_what_belongs_to_one_thing_and_may_lack_some_of_it(folder):
    table = read(folder, HEADER, *ROWS)
    assert table.classes == ("cat", "dog") and list(table.sources) == ["rows"]
    values, present, labels, group = table.sources["rows"]
    assert labels.tolist() == [0, 1, 0, 1] and group.tolist() == [0, 1, 2, 3]
    shown = {name: x.tolist() for name, x in present.items()}
    assert shown == {
        "image": [1, 1, 0, 1],
        "audio": [1, 1, 1, 0],
        "text": [1, 1, 0, 1],
        "tabular": [1, 1, 0, 1],
    }
    assert values["image"].shape == (4, 8, 8, 3) and values["audio"].shape == (4, 4, 32)
    for name, part in (("image", "a.png"), ("audio", "a.wav")):
        np.testing.assert_array_equal(values[name][0], files.read_file(folder / part, SIZES)[0])
    expected = preprocess.encode_texts(["a dog, or two"], 12)[0]
    np.testing.assert_array_equal(values["text"][1], expected)
    np.testing.assert_array_equal(values["tabular"], [[1.5, 2], [3, -40], [0, 0], [5, 6]])
    assert all((x[present[name] == 0] == 0).all() for name, x in values.items())
    assert make_pool(table).sources["rows"].inputs.present["image"].sum() == 3


@pytest.mark.parametrize(
    ("header", "cells", "found"),
    [
        ("a,b", "x.png,y.jpg", {"image.a": "image", "image.b": "image"}),
        ("image,b", "x.png,y.jpg", {"image": "image", "image.b": "image"}),
        (
            "a,b,c",
            "x.npy,y.wav,z.npy",
            {"series.a": "series", "audio": "audio", "series.c": "series"},
        ),
        ("a,b", "words,more words", {"text.a": "text", "text.b": "text"}),
        ("a,b", "x.txt,words", {"text.a": "lines", "text.b": "text"}),
        ("a", "x.txt", {"text": "lines"}),
        ("Text,b,c", "12,3,4", {"text": "text", "tabular": "numbers"}),
        ("AUDIO", "no ending", {"audio": "audio"}),
        ("a", "see x.png, please", {"text": "text"}),
    ],
)
def test_a_column_is_what_its_name_or_its_cells_say(tmp_path, header, cells, found):
    sheet = Sheet(tmp_path, tuple(header.split(",")), [cells.split(",")] * 2, ["", ""], tmp_path)
    if "please" in cells:
        sheet = sheet._replace(rows=[[cells], [cells]])
    assert {name: its.kind for name, its in find_modalities(sheet).items()} == found


def test_a_mapping_says_what_columns_are_and_leaves_the_others_unread(folder):
    columns = {"front": "photo", "size": "width+height", "zip": "width", "text.h": "height"}
    table = read(folder, HEADER.replace("sound", "more"), *ROWS[:2], columns=columns)
    values = table.sources["rows"].values
    assert {name: x.shape[1:] for name, x in values.items()} == {
        "front": (8, 8, 3),
        "size": (2,),
        "zip": (1,),
        "text.h": (12,),
    }
    np.testing.assert_array_equal(values["size"][0], [2, 1.5])


def test_a_column_is_named_with_spaces_around_it_and_with_a_plus_in_it(folder):
    sheet = open_csv(write(folder, "label,Q+A,Q", "a,why,1", "b,so,2"))
    found = find_modalities(sheet, {"words": " Q+A ", "size": " Q"}, skip=("label",))
    assert {name: (one.kind, one.columns) for name, one in found.items()} == {
        "words": ("text", ("Q+A",)),
        "size": ("numbers", ("Q",)),
    }


def test_groups_and_texts_in_files_are_read_and_blank_lines_are_not(folder):
    lines = ["label,group,notes", "a,x,words.txt", "", "b,y,words.txt", "a,x,words.txt", ""]
    rows = read(folder, *lines).sources["rows"]
    assert rows.group.tolist() == [0, 1, 0]
    expected = preprocess.encode_texts(["one line and another"], 12)[0]
    np.testing.assert_array_equal(rows.values["text"][2], expected)


def changed(row, old, new):
    rows = list(ROWS)
    rows[row] = rows[row].replace(old, new)
    return [HEADER, *rows]


FAULTS = {
    "nothing": ([], r"mine\.csv is empty: write a header"),
    "no row": ([HEADER], "no rows below its header"),
    "no label": ([HEADER.replace("label", "kind"), *ROWS], r"no column label.*kind.*rename"),
    "empty label": (changed(2, "cat", " "), r"line 4, column label is empty; write"),
    "one class": ([HEADER, *ROWS[::2]], "all rows are of one class, cat; add rows"),
    "more cells": (changed(1, '"', ""), r"line 3 has 7 cells.* 6 .*double quotes"),
    "fewer cells": (changed(2, ",,,", ","), "line 4 has 4 cells"),
    "twice": ([HEADER.replace("width", "photo"), *ROWS], "line 1: the column photo occurs twice"),
    "no name": ([HEADER.replace("width", ""), *ROWS], "line 1: column 6 has no name; name it"),
    "semicolons": ([HEADER.replace(",", ";"), *ROWS], "separate cells by commas"),
    "open quote": ([HEADER, 'cat,"a.png'], "begins in line 2: unexpected end.*double quotes"),
    "no file": (changed(1, "b.png", "c.png"), r"line 3, column photo: there is no file .*c\.png"),
    "unknown ending": (changed(3, "a.png", "a.docx"), r"line 5, column photo: 'a\.docx'.*\.png"),
    "a sound": (changed(3, "a.png", "a.wav"), r"line 5, column photo: 'a\.wav' has none of"),
    "unreadable": (changed(3, "a.png", "cut.png"), r"line 5, column photo: .*cut\.png cannot.*rep"),
    "words": (changed(0, "1.5", "tall"), "line 2, column height: 'tall' is no number; .*text:hei"),
    "nan": (changed(0, "1.5", "NaN"), "line 2, column height: 'NaN' is not finite.*empty"),
    "inf": (changed(0, "1.5", "-inf"), "line 2, column height: '-inf' is not finite"),
    "large": (
        changed(0, "1.5", "-1e39"),
        "line 2, column height: '-1e39' is beyond 1e.18; write he",
    ),
    "half": (changed(0, "1.5", ""), "line 2, column height is empty.*height, width empty"),
    "row": (changed(2, "b.wav", ""), "line 4: all of photo, sound, caption, height, width are em"),
    "column": ([HEADER + ",colour", *(r + "," for r in ROWS)], "column colour is empty in all"),
    "label alone": (["label", "cat", "dog"], "no column beside label: add one of images"),
    "other files": (["label,x", "a,note.docx", "b,note.docx"], r"x names files .*note\.docx.*\.wa"),
    "commas": (["label,x", 'a,"1,5"', 'b,"-2,5"'], "x holds numbers with a comma, such as 1,5; "),
    "no group": (["label,group,x", "a,1,2", "b,,2"], "line 3, column group is empty; name"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_names_its_place_and_the_mend(folder, fault):
    lines, message = FAULTS[fault]
    with pytest.raises(ValueError, match=message) as caught:
        read(folder, *lines)
    assert "mine.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": "foto"}, "foto, which is to be image, is no column.*did you mean photo"),
        ({"image": "label"}, "is the label or the group"),
        ({"tabular": "caption+width"}, "column caption: 'a cat' is no number"),
    ],
)
def test_a_mapping_of_what_is_not_there_is_named(folder, columns, message):
    with pytest.raises(ValueError, match=message):
        read(folder, HEADER, *ROWS, columns=columns)


def test_bytes_of_another_encoding_name_their_line(folder):
    with pytest.raises(ValueError, match=r"line 2: the byte 0xe9 is not UTF-8.*Excel"):
        csv_table.read_csv(write(folder, "label,x", "a,café", encoding="latin-1"))
    with pytest.raises(ValueError, match="line 1: the byte 0xff"):
        csv_table.read_csv(write(folder, "label,x", "a,1", encoding="utf-16"))
    with pytest.raises(FileNotFoundError, match=r"no\.csv is not a file"):
        csv_table.read_csv(folder / "no.csv")
    assert read(folder, "\ufefflabel,x", "a,1", "b,2").classes == ("a", "b")


def test_numbers_that_float32_cannot_tell_apart_are_refused(tmp_path):
    def read_column(*cells):
        return read(tmp_path, "label,time", *(f"{'ab'[i % 2]},{x}" for i, x in enumerate(cells)))

    with pytest.raises(ValueError, match=r"time differs by about 10 .* subtract 1700000"):
        read_column(1.7e9 + 1, 1.7e9 + 21, 1.7e9 + 5, 1.7e9 + 25)
    for cells in ((1, 21, 5), (1.7e9, 1.7e9), (0.1, 0.1, 0.1), (1.7e9, 1.8e9, 1.6e9)):
        read_column(*cells)


@settings(deadline=None, max_examples=80)
@given(st.binary(max_size=60), st.integers(0, 60), st.integers(0, 9))
def test_garbled_bytes_give_a_value_error_or_a_table(tmp_path_factory, garbage, place, cut):
    path = tmp_path_factory.getbasetemp() / "garbled.csv"
    good = b'label,words,x\na,"b, c",1\nb,"d",2\na,e,3\n'
    path.write_bytes(good[:place] + garbage + good[place + cut :])
    try:
        table = csv_table.read_csv(path, sizes=SIZES)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert len(table.sources["rows"].labels) >= 2


def test_a_folder_is_a_sheet_in_which_files_of_one_name_are_a_row(folder):
    for name in ("cat/1.png", "cat/1.wav", "cat/2.png", "dog/1.wav"):
        target = folder / "classes" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((folder / f"a{target.suffix}").read_bytes())
    (folder / "classes/cat/1.txt").write_text("a cat")
    (folder / "classes/dog/9.txt").write_text("a dog\n\nanother\n")
    sheet = open_folder(folder / "classes")
    assert sheet.header == ("label", "image", "audio", "text")
    assert sheet.rows == [
        ["cat", "cat/1.png", "cat/1.wav", "a cat"],
        ["cat", "cat/2.png", "", ""],
        ["dog", "", "dog/1.wav", ""],
        ["dog", "", "", "a dog"],
        ["dog", "", "", "another"],
    ]
    flat = open_folder(folder / "classes/cat")
    assert flat.header == ("image", "audio", "text") and len(flat.rows) == 2
    (folder / "note.docx").rename(folder / "classes/cat/note.docx")
    with pytest.raises(ValueError, match=r"note\.docx is neither"):
        open_folder(folder / "classes")
    (folder / "none").mkdir()
    with pytest.raises(ValueError, match="has no files: expected"):
        open_folder(folder / "none")


def test_no_file_of_a_folder_is_lost_to_another_of_its_name(folder):
    for name in ("1.png", "1.PNG", "1.jpg", "1.wav"):
        (folder / "flat").mkdir(exist_ok=True)
        (folder / "flat" / name).write_bytes(b"")
    sheet = open_folder(folder / "flat")
    assert sheet.rows == [["1.PNG", "1.wav"], ["1.jpg", ""], ["1.png", ""]]


def test_queries_may_lack_a_modality_but_not_half_of_it(folder):
    support = find_modalities(open_csv(write(folder, HEADER, *ROWS)), skip=("label",))
    few = open_csv(write(folder, "photo,more", "a.png,1"))
    assert list(held(few, support)) == ["image"]
    assert csv_table.check_queries(few, support) == ["audio", "tabular", "text"]
    read_alone = csv_table.read_rows(few, support, SIZES)[1]
    assert {name: x.tolist() for name, x in read_alone.items()} == {
        "image": [1],
        "audio": [0],
        "text": [0],
        "tabular": [0],
    }
    with pytest.raises(ValueError, match="no column width, which is part of tabular"):
        held(open_csv(write(folder, "height", "1")), support)
    with pytest.raises(ValueError, match="none of the columns photo, sound"):
        held(open_csv(write(folder, "other", "1")), support)


def test_queries_are_read_by_the_names_of_the_support_sets_columns(folder):
    support = write(folder, HEADER, *ROWS).rename(folder / "support.csv")

    def ask(*lines, **options):
        return csv_table.read_queries(write(folder, *lines), support, sizes=SIZES, **options)

    values, present = ask("width,photo,label,height", "2,a.png,,1.5", ",b.png,cat,")
    np.testing.assert_array_equal(values["tabular"], [[1.5, 2], [0, 0]])
    expected = csv_table.read_csv(support, sizes=SIZES).sources["rows"].values
    np.testing.assert_array_equal(values["image"], expected["image"][:2])
    assert {name: x.tolist() for name, x in present.items()} == {
        "image": [1, 1],
        "audio": [0, 0],
        "text": [0, 0],
        "tabular": [1, 0],
    }
    said = ask("width,photo", "2,a.png", columns={"front": "photo"})
    assert list(said.values) == ["front"]
    with pytest.raises(ValueError, match=r"mine\.csv, line 2, column photo: there is no file"):
        ask("photo", "c.png")
    with pytest.raises(ValueError, match=r"mine\.csv has none of the columns .*name its columns"):
        ask("label", "cat")
    with pytest.raises(FileNotFoundError, match=r"no\.csv is not a file"):
        csv_table.read_queries(folder / "no.csv", support)
