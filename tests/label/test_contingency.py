import numpy as np
import pytest

from rsseg.errors import InputError
from rsseg.label.contingency import contingency


def slow_table(a: np.ndarray, b: np.ndarray, rows: int, cols: int) -> np.ndarray:
    table = np.zeros((rows + 1, cols + 1), np.int64)
    for first, second in zip(a.ravel(), b.ravel(), strict=True):
        table[first, second] += 1
    return table


def test_counts_equal_a_slow_loop(rng: np.random.Generator) -> None:
    a = rng.integers(0, 6, (70, 91)).astype(np.uint8)
    b = rng.integers(0, 4, (70, 91)).astype(np.uint8)
    assert np.array_equal(contingency(a, b, 5, 3), slow_table(a, b, 5, 3))


def test_every_value_of_a_byte_has_its_place() -> None:
    values = np.arange(256, dtype=np.uint8)
    assert np.array_equal(contingency(values, values[::-1], 255, 255), np.eye(256, dtype=np.int64)[::-1])


def test_chunks_add_up(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    a, b = rng.integers(0, 9, (2, 1001)).astype(np.uint8)
    whole = contingency(a, b, 8, 8)
    monkeypatch.setattr("rsseg.label.contingency._CHUNK", 64)
    assert np.array_equal(contingency(a, b, 8, 8), whole)


def test_values_above_the_expected_are_refused() -> None:
    values = np.array([1, 7], np.uint8)
    with pytest.raises(InputError, match="above"):
        contingency(values, values, 6, 7)


def test_an_empty_selection_counts_nothing() -> None:
    empty = np.empty(0, np.uint8)
    assert contingency(empty, empty, 2, 2).sum() == 0
