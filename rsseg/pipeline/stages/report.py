"""The stage ``report``: a run folder as one HTML page, and its pictures as PNG files."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rasterio

from rsseg.errors import RssegWarning, UsageError
from rsseg.files import check_output, write_text
from rsseg.pipeline.folders import result_folder
from rsseg.progress import SILENT, Reporter
from rsseg.publish.report.embedding import EMBEDDINGS, Embedding
from rsseg.publish.report.images import TABLE, Album
from rsseg.publish.report.page import report_page
from rsseg.publish.run_folder import open_run
from rsseg.scene.raster import CACHE_BYTES

PAGE = "report.html"


@dataclass(frozen=True)
class Report:
    """Where the page lies, how large it is, and where its pictures are."""

    page: Path
    bytes: int
    pictures: tuple[Path, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"page": str(self.page), "bytes": self.bytes, "pictures": [str(path) for path in self.pictures]}


def report(
    run: Path,
    output: Path | None = None,
    *,
    embedding: Embedding = "pca",
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> Report:
    """Make a page of a run folder, and beside it a folder of the page's name with its pictures.

    Equal runs give equal pages, but for the times that the run noted. Maps are read three times in strips and scenes
    once for each map; memory is some pictures of the page's size and a few strips of 512 rows.

    Args:
        run: what ``rsseg run`` or ``rsseg map`` wrote.
        output: the page; by default ``report.html`` in the run.
        embedding: how the patches' features are shown: by principal components, by t-SNE, or not.

    Raises: UsageError; InputError if the folder is no finished run.
    """
    if embedding not in EMBEDDINGS:
        raise UsageError(f"there is no embedding {embedding}; choose one of {', '.join(EMBEDDINGS)}")
    page = output or run / PAGE
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{page} is not named like a page; end it in .html")
    with warnings.catch_warnings():
        # what there is to say of a scene's calibration was said when the run was made
        warnings.simplefilter("ignore", RssegWarning)
        # letters that the charts' font lacks; the page's own text has the names whole
        warnings.filterwarnings("ignore", "Glyph .* missing")
        found = open_run(run)
        check_output(page, overwrite)
        folder = page.with_suffix("")
        with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20), result_folder(folder, TABLE, (), overwrite) as part:
            album = Album(part)
            text = report_page(found, album, embedding, reporter)
            album.write_table()
    write_text(page, text, overwrite)
    pictures = tuple(folder / record["file"] for record in album.records)
    return Report(page, len(text.encode()), pictures)
