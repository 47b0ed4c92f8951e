"""The stage ``view``: a run's maps, or a single one, served to this machine's browser."""

import os
import sys
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path

from rsseg.errors import InputError, UsageError
from rsseg.progress import SILENT, Reporter
from rsseg.publish.view.atlas import Atlas
from rsseg.publish.view.folder import open_map, open_run
from rsseg.publish.view.server import ViewServer

PORT = 8765
"""Where a page is served unless another port is asked for, so that its address stays the same."""


def view(
    target: Path,
    *,
    scene: Path | None = None,
    references: Sequence[Path] = (),
    field: str | None = None,
    bands: Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    port: int | None = None,
    browser: bool = True,
    ready: Callable[[str], None] = lambda url: None,
    reporter: Reporter = SILENT,
) -> None:
    """Serve the maps of ``target`` until it is interrupted (KeyboardInterrupt, which ends it in peace).

    Args:
        target: a run folder, or a label map.
        scene: the scene of a single map, with its ``bands`` and ``scale``.
        references: polygons, points or a raster of classes to show: one for all scenes, or one a scene in their order.
        field: their class field.
        port: 0 for any that is free; None for 8765, or any other if that is taken.
        browser: open the page in the default browser.
        ready: called with the address once it is served.

    Raises: UsageError, InputError, GridError.
    """
    with prepare(
        target, scene=scene, references=references, field=field, bands=bands, scale=scale, port=port
    ) as server:
        try:
            ready(server.url)
            if browser:
                _open_browser(server.url, reporter)
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            reporter.say("stopped")


def prepare(
    target: Path,
    *,
    scene: Path | None = None,
    references: Sequence[Path] = (),
    field: str | None = None,
    bands: Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    port: int | None = None,
) -> ViewServer:
    """A server that is ready to serve, as ``view`` does.

    Raises: UsageError, InputError, GridError.
    """
    for path in (target, scene, *references):
        if path is not None and not path.exists():
            raise InputError(f"{path} does not exist")
    if not target.is_dir():
        if len(references) > 1:
            raise UsageError(f"{len(references)} references for a single label map; give one")
        truth = references[0] if references else None
        atlas = Atlas(target.name, lambda: [open_map(target, scene, truth, field, bands=bands, scale=scale)])
        return _serve(atlas, port)
    if scene is not None or bands is not None or scale is not None:
        raise UsageError("a run folder knows its scenes; --scene, --bands and --scale are for a single label map")
    return _serve(Atlas(target.resolve().name, lambda: open_run(target, references, field)), port)


def _serve(atlas: Atlas, port: int | None) -> ViewServer:
    if port is not None:
        return ViewServer(atlas, port)
    try:
        return ViewServer(atlas, PORT)
    except UsageError:
        return ViewServer(atlas, 0)


def _open_browser(url: str, reporter: Reporter) -> None:
    """Open the page; a browser within the terminal, which is all that a machine without a screen has, is not for it."""
    screen = not sys.platform.startswith("linux") or {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"} & os.environ.keys()
    if not (screen and webbrowser.open(url)):
        reporter.say("no browser could be opened; open the address in one")
