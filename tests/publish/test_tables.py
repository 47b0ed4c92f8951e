import csv
import io
import json

import numpy as np

from rsseg.publish.tables import json_text, matrix_csv, records_csv


def test_a_matrix_keeps_its_names_and_numbers() -> None:
    names = ['a "quoted", name', "two\nlines"]
    text = matrix_csv(np.array([[0.5, np.nan], [1.0, 0.25]]), names, ["x", "y"], "rows m, columns n")
    assert list(csv.reader(io.StringIO(text))) == [
        ["rows m, columns n", "x", "y"],
        [names[0], "0.500000", ""],
        [names[1], "1.000000", "0.250000"],
    ]


def test_counts_stay_whole_numbers() -> None:
    assert matrix_csv(np.array([[3_000_000_000]]), ["a"], ["b"], "c") == "c,b\na,3000000000\n"


def test_records_leave_undefined_cells_empty() -> None:
    assert records_csv([{"a": 1, "b": None}, {"a": 2.5, "b": float("nan")}]) == "a,b\n1,\n2.500000,\n"


def test_json_knows_no_nan() -> None:
    value = {"a": np.array([1.0, np.nan]), 3: (np.int64(4), None, float("inf")), "é": [np.bool_(True)]}
    assert json.loads(json_text(value)) == {"a": [1.0, None], "3": [4, None, None], "é": [True]}


def test_no_name_is_a_formula_to_a_spreadsheet() -> None:
    names = ['=HYPERLINK("x")', "+1", "-1", "@a", "\tb", "a=b"]
    wanted = ["'" + name for name in names[:5]] + ["a=b"]
    rows = list(csv.reader(io.StringIO(matrix_csv(np.full((6, 6), -1.5), names, names, "c"))))
    assert rows[0][1:] == wanted and [row[0] for row in rows[1:]] == wanted and rows[1][1] == "-1.500000"
    text = records_csv([{"name": name, "n": -2} for name in names])
    assert list(csv.reader(io.StringIO(text)))[1:] == [[name, "-2"] for name in wanted]
