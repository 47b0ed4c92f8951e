"""Pictures as bytes: encoded, put into the page as data, and kept as PNG files beside it."""

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from rsseg.files import file_word
from rsseg.publish.report.html import Html, clean, tag
from rsseg.publish.tables import records_csv

Kind = Literal["png", "jpeg"]

TABLE = "pictures.csv"
"""Lists the pictures of a report's folder; no other folder has it."""

_DPI = 150


def indexed_png(values: np.ndarray, colours: np.ndarray, clear: int | None = None) -> bytes:
    """An image of values (h, w) uint8 in the colours (256, 3) uint8; the value ``clear`` is transparent."""
    picture = Image.frombytes("P", values.shape[::-1], np.ascontiguousarray(values, np.uint8).tobytes())
    picture.putpalette(np.ascontiguousarray(colours, np.uint8).tobytes())
    stream = io.BytesIO()
    options = {} if clear is None else {"transparency": clear}
    picture.save(stream, "PNG", optimize=True, **options)
    return stream.getvalue()


def encoded(colours: np.ndarray, kind: Kind = "png") -> bytes:
    """An image of colours (h, w, 3) uint8."""
    stream = io.BytesIO()
    if kind == "png":
        Image.fromarray(colours).save(stream, "PNG")
    else:
        Image.fromarray(colours).save(stream, "JPEG", quality=85, optimize=True)
    return stream.getvalue()


def lightest(colours: np.ndarray) -> tuple[bytes, Kind, bytes]:
    """A picture (h, w, 3) uint8 as JPEG, or as PNG where that is not larger; which of them it is; and the PNG."""
    png, jpeg = encoded(colours), encoded(colours, "jpeg")
    return (png, "png", png) if len(png) <= len(jpeg) else (jpeg, "jpeg", png)


def drawn(figure: Figure) -> bytes:
    """A chart as PNG: no version of matplotlib in it, few colours, so that it is the same bytes and light."""
    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI, metadata={"Software": None})
    picture = Image.open(stream).convert("RGB").quantize(128, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


@dataclass
class Album:
    """The pictures of a page, each written as a PNG file to ``folder`` as it comes."""

    folder: Path
    records: list[dict[str, str]] = field(default_factory=list)

    def add(
        self,
        title: str,
        data: bytes,
        alt: str,
        *,
        kind: Kind = "png",
        shown: tuple[float, float] | None = None,
        file: bytes | None = None,
        **attributes: object,
    ) -> Html:
        """Keep a picture under a file name made of ``title`` and return its ``img``.

        Args:
            data: the encoded image that the page holds.
            alt: what it shows, for those who do not see it.
            shown: width and height in pixels of the screen; by default the image's own.
            file: the PNG to keep where ``data`` is none, or has another size.
        """
        self.file(title, alt).write_bytes(data if file is None else file)
        width, height = shown or self._size(data)
        uri = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
        return tag("img", src=uri, alt=alt, width=round(width), height=round(height), **attributes)

    def file(self, title: str, shows: str) -> Path:
        """A new file of the folder for a picture that is written by somebody else."""
        target = self.folder / self._name(title)
        self.records.append({"file": target.name, "shows": clean(shows)})
        return target

    def add_chart(self, title: str, figure: Figure, alt: str) -> Html:
        """Draw a chart and keep it; on the screen it is as large as its figure says, at 96 dots an inch."""
        width, height = figure.get_size_inches()
        return self.add(title, drawn(figure), alt, shown=(96 * width, 96 * height), class_="chart")

    def write_table(self) -> None:
        """Write the list of all pictures."""
        rows = self.records or [{"file": "", "shows": ""}]
        (self.folder / TABLE).write_text(records_csv(rows), encoding="utf-8", newline="\n")

    def _name(self, title: str) -> str:
        """A file name that no other picture has, whatever letters the title has."""
        word = file_word(title).strip(".-") or "picture"
        taken = {record["file"].casefold() for record in self.records}
        names = (f"{word}{'' if place == 1 else f'-{place}'}.png" for place in range(1, len(taken) + 2))
        return next(item for item in names if item.casefold() not in taken)

    @staticmethod
    def _size(data: bytes) -> tuple[int, int]:
        with Image.open(io.BytesIO(data)) as picture:
            return picture.size


def figure_of(image: Html, caption: object, *, class_: str | None = None) -> Html:
    """A picture with its caption."""
    return tag("figure", tag("div", image, class_="frame"), tag("figcaption", caption), class_=class_)


def scaled(shape: tuple[int, ...], aspect: float = 1.0, least: int = 480) -> tuple[float, float]:
    """Width and height on the screen of an image (h, w): small ones whole times larger, so that pixels stay square.

    ``aspect``: height over width of a pixel.
    """
    times = max(1, least // max(shape[:2]))
    return float(shape[1] * times), shape[0] * times * aspect
