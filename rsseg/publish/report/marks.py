"""Numbers on a map, so that its classes are told apart without their colours."""

import numpy as np
from scipy import ndimage

from rsseg.publish.report.html import Html, tag
from rsseg.publish.report.scenes import MapView

_LEAST = 0.012
"""How far from its border a second number needs to stand, as a part of the picture's longer side."""


def marks(item: MapView) -> Html:
    """A class's number in the middle of its widest region, and of a second one far from it that is wide too."""
    height, width = item.shown.shape
    spots = []
    for value in item.values:
        for row, col in widest(item.shown == value):
            place = f"left:{100 * (col + 0.5) / width:.2f}%;top:{100 * (row + 0.5) / height:.2f}%"
            spots.append(tag("span", value, style=place))
    return tag("div", *spots, class_="marks", aria_hidden="true")


def widest(mask: np.ndarray) -> list[tuple[int, int]]:
    """The pixels (row, column) of a mask (h, w) that lie farthest inside it, the second away from the first.

    Beyond the picture's edge lies nothing. The second is left out where it would lie close to the border.
    """
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    found: list[tuple[int, int]] = []
    for least in (1.0, max(1.5, _LEAST * max(mask.shape))):
        row, col = (int(place) for place in np.unravel_index(np.argmax(depth), depth.shape))
        reach = depth[row, col]
        if reach < least:
            break
        found.append((row, col))
        away = int(max(4 * reach, 0.2 * max(mask.shape)))
        depth[max(0, row - away) : row + away + 1, max(0, col - away) : col + away + 1] = 0
    return found
