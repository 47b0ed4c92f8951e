"""The tables and heat maps of the stage ``consensus``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsseg.files import file_word, write_text
from rsseg.label.consensus import PairConsensus, compare, group_title, matched
from rsseg.label.scores import ReferenceConsensus
from rsseg.publish.quicklook import picture_matrix
from rsseg.publish.tables import matrix_csv, records_csv

PAIRS, MATCHES, MEANS = "pairs.csv", "matches.csv", "mean_jaccard.csv"
REFERENCE, REFERENCE_LONG = "reference.csv", "reference_long.csv"

Titles = Mapping[str, Mapping[int, str]]
"""What the clusters are called, by map and value."""


def write_pairs(
    names: Sequence[str],
    pairs: Sequence[PairConsensus],
    tables: Sequence[np.ndarray],
    titles: Titles,
    folder: Path,
) -> None:
    """All that tells of maps two by two; ``tables`` are the pairs' contingencies, (256, 256)."""
    stems = file_words([(pair.first, pair.second) for pair in pairs])
    for pair, table, stem in zip(pairs, tables, stems, strict=True):
        _write_matched(pair, titles, folder / f"jaccard_{stem}.csv")
        _write_all(table, pair, titles, folder / f"clusters_{stem}.csv")
    write_text(folder / PAIRS, records_csv([_pair_record(pair) for pair in pairs]))
    matches = [record for pair in pairs for record in _match_records(pair, titles)]
    write_text(folder / MATCHES, records_csv(matches) if matches else "")
    _write_means(names, pairs, folder / MEANS)


def _write_matched(pair: PairConsensus, titles: Titles, target: Path) -> None:
    """The papers' table: rows of the first map, columns of the second, matches on the diagonal; and its heat map."""
    rows = [group_title(members, titles[pair.first]) for members in pair.row_groups]
    columns = [group_title(members, titles[pair.second]) for members in pair.col_groups]
    corner = f"rows {pair.first}, columns {pair.second}"
    write_text(target, matrix_csv(pair.jaccard, rows, columns, corner))
    picture_matrix(
        pair.jaccard,
        rows,
        columns,
        target.with_suffix(".png"),
        title=f"Jaccard similarity: {pair.matched} matches, mean {pair.mean_jaccard:.3f}",
        row_title=pair.first,
        column_title=pair.second,
        framed=pair.matched,
    )


def _write_all(table: np.ndarray, pair: PairConsensus, titles: Titles, target: Path) -> None:
    """Every cluster with every cluster as the maps have them, in number order."""
    single = compare(table, pair.first, pair.second)
    by_row, by_col = np.argsort(single.rows), np.argsort(single.cols)
    rows = [titles[pair.first][value] for value in sorted(single.rows)]
    columns = [titles[pair.second][value] for value in sorted(single.cols)]
    corner = f"rows {pair.first}, columns {pair.second}"
    write_text(target, matrix_csv(single.jaccard[np.ix_(by_row, by_col)], rows, columns, corner))


def _pair_record(pair: PairConsensus) -> dict[str, Any]:
    return {
        "first": pair.first,
        "second": pair.second,
        "matching": pair.way,
        "pixels": pair.pixels,
        "clusters_first": sum(map(len, pair.row_groups)),
        "clusters_second": sum(map(len, pair.col_groups)),
        "classes_first": len(pair.rows),
        "classes_second": len(pair.cols),
        "matches": pair.matched,
        "mean_matched_jaccard": pair.mean_jaccard,
        "agreement": pair.agreement,
    }


def _match_records(pair: PairConsensus, titles: Titles) -> list[dict[str, Any]]:
    counts = pair.counts
    return [
        {
            "first": pair.first,
            "second": pair.second,
            "clusters_first": " ".join(map(str, rows)),
            "clusters_second": " ".join(map(str, cols)),
            "name_first": group_title(rows, titles[pair.first]),
            "name_second": group_title(cols, titles[pair.second]),
            "pixels_first": int(counts[place].sum()),
            "pixels_second": int(counts[:, place].sum()),
            "pixels_both": int(counts[place, place]),
            "jaccard": found.jaccard,
        }
        for place, (found, (rows, cols)) in enumerate(zip(matched(pair), pair.groups, strict=True))
    ]


def mean_matrix(names: Sequence[str], pairs: Sequence[PairConsensus]) -> np.ndarray:
    """Mean Jaccard of the matches of every two maps, (maps, maps); 1 on the diagonal."""
    table, places = np.eye(len(names)), {name: place for place, name in enumerate(names)}
    for pair in pairs:
        first, second = places[pair.first], places[pair.second]
        table[first, second] = table[second, first] = pair.mean_jaccard
    return table


def _write_means(names: Sequence[str], pairs: Sequence[PairConsensus], target: Path) -> None:
    means = mean_matrix(names, pairs)
    write_text(target, matrix_csv(means, names, names, "mean Jaccard of the matches"))
    title = "Mean Jaccard similarity of the matched classes"
    picture_matrix(means, names, names, target.with_suffix(".png"), title=title)


def write_reference(result: ReferenceConsensus, folder: Path) -> None:
    """The maps, their intersections and their vote against a reference: by score, by class, and as one long list."""
    write_text(folder / REFERENCE, records_csv(result.records()))
    write_text(folder / REFERENCE_LONG, records_csv(result.long_records()))
    for assignment in result.assigned:
        values, columns = result.matrix(assignment)
        corner = f"Jaccard with the reference, clusters {assignment}"
        text = matrix_csv(values, (*result.classes, "mean"), columns, corner)
        write_text(folder / f"reference_{assignment.replace('-', '_')}.csv", text)


def file_words(groups: Sequence[Sequence[str]]) -> list[str]:
    """A word for each group of names that any file system takes; numbered where two would be the same."""
    words = ["_".join(map(file_word, group)) for group in groups]
    if len({word.casefold() for word in words}) == len(words):
        return words
    return [f"{number}_{word}" for number, word in enumerate(words, 1)]
