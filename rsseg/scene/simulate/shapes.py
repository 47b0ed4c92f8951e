"""The large shapes of the simulated land, as smooth fields on a lattice of nodes.

Each shape is a field in pixels, roughly the signed distance to its border, positive inside. ``landcover`` brings them
to the pixels and gives them ragged edges. One pixel is 5 m.
"""

from dataclasses import dataclass

import numpy as np

from rsseg.scene.simulate.noise import Floats, Lattice, fractal, hashes, mix, salt, smooth, uniform

RIVER_SPACING, RIVER_COURSE = 1500.0, 0.35
STREAM_SPACING, STREAM_COURSE = 620.0, 1.75
ROAD_SPACING, ROAD_COURSE = 560.0, 1.05
FAR = 40.0
"""Distance in pixels at which blobs (lakes, towns) are no longer told apart from nothing."""


@dataclass(frozen=True)
class Shapes:
    """Fields at the nodes of a lattice, without its margin: (rows, cols) float32."""

    river: Floats
    lake: Floats
    stream: Floats
    stream_width: Floats
    road: Floats
    road_width: Floats
    """Streams and roads, narrower than a step of the lattice, are signed distances from the middle, and half widths."""
    town: Floats
    forest: Floats
    bare: Floats
    marsh: Floats
    sand: Floats
    slope_down: Floats
    slope_across: Floats


def shapes(seed: int, lattice: Lattice) -> Shapes:
    """Every shape of the world ``seed`` on a lattice with a margin of one node."""
    rows, cols = lattice.rows, lattice.cols

    def noise(name: str, *wavelengths: float) -> Floats:
        return fractal(rows, cols, wavelengths, seed, name)

    hills, moisture = noise("hills", 5200, 2100), noise("moisture", 7000, 2600)
    river_distance, river = _rivers(seed, lattice)
    stream, stream_width = _streams(seed, lattice)
    lake = blobs(seed, "lake", rows, cols, cell=330, chance=0.36 + 0.12 * moisture, radius=(16, 38))
    reservoir = blobs(seed, "reservoir", rows, cols, cell=4200, chance=0.8, radius=(110, 300))
    # arms and islands: the shore follows the valleys
    lake = np.maximum(lake, reservoir + np.clip(0.5 * (reservoir + FAR), 0, 120) * noise("valleys", 520, 190))
    lake += np.clip(0.25 * (lake + FAR), 0, 9) * noise("shore", 70, 26)
    elevation = _elevation(hills, noise("relief", 1500, 420, 150, 70))
    lake_inner = lattice.inner(lake)
    town, road, road_width = _settlements(seed, lattice, hills)
    inner = lattice.inner
    down, across = lattice.slopes(elevation)
    forest = inner(0.38 * hills - 0.2 * moisture + noise("forest", 380, 170, 60)) - 0.9
    bare = inner(noise("bare", 280, 120, 45) + 0.2 * hills - 0.25 * moisture) - 1.45
    bank = np.maximum(np.maximum(lake_inner, river), stream_width - np.abs(stream) - 9)
    marsh = bank + 26 * inner(noise("marsh", 300, 130, 50) + 0.25 * moisture) - 4
    sand = inner(16 * noise("sand", 210, 90)) - 3 - np.abs(np.abs(river_distance) - 6) * 1.5
    return Shapes(
        river=river,
        lake=lake_inner,
        stream=stream,
        stream_width=stream_width,
        road=road,
        road_width=road_width,
        town=town,
        forest=34 * forest,
        bare=30 * bare,
        marsh=np.minimum(marsh, bank + 30),
        sand=sand,
        slope_down=down,
        slope_across=across,
    )


def _elevation(hills: Floats, relief: Floats) -> Floats:
    """Metres: plains of some 10 m of relief, hills of some 100 m."""
    return 60 * hills + (10 + 26 * np.clip(hills + 0.3, 0, 2)) * relief


def _lines(
    seed: int, name: str, lattice: Lattice, spacing: float, course: float, bends: dict[float, float]
) -> tuple[Floats, Floats]:
    """A family of winding lines: the signed distance to the nearest, and its number (float).

    They are the level lines of a plane (``course`` in radians, a line every ``spacing`` pixels) that is displaced by
    noise: ``bends`` maps wavelengths to displacements, both in pixels. Dividing by the gradient makes it a distance.
    """
    plane = np.cos(course) * lattice.rows[:, None] + np.sin(course) * lattice.cols[None, :]
    for wavelength, displacement in bends.items():
        plane += displacement * smooth(lattice.rows, lattice.cols, wavelength, salt(seed, f"{name}/{wavelength}"))
    down, across = lattice.slopes(plane)
    middle = lattice.inner(plane)
    # a sine instead of a saw: no jump half-way between two lines that interpolation would turn into a third
    distance = np.sin(middle * (np.pi / spacing)) * (spacing / np.pi)
    distance /= np.maximum(np.sqrt(down * down + across * across), 0.35)
    return distance.astype(np.float32), np.floor(middle / spacing + 0.5)


def _rivers(seed: int, lattice: Lattice) -> tuple[Floats, Floats]:
    bends = {9000.0: 900.0, 3500.0: 300.0, 1100.0: 120.0, 330.0: 100.0, 150.0: 26.0}
    distance, number = _lines(seed, "river", lattice, RIVER_SPACING, RIVER_COURSE, bends)
    name = salt(seed, "river-width")
    numbers = np.arange(int(number.min()), int(number.max()) + 1)
    # most rivers are 60 to 100 m wide, some only half of that
    widths = 4 + 4.5 * np.sqrt(uniform(hashes(numbers, np.zeros(1, np.int64), name))[:, 0])
    width = widths[(number - numbers[0]).astype(np.intp)]
    width *= 1 + 0.22 * lattice.inner(smooth(lattice.rows, lattice.cols, 340, name))
    return distance, (width - np.abs(distance)).astype(np.float32)


def _streams(seed: int, lattice: Lattice) -> tuple[Floats, Floats]:
    bends = {1700.0: 170.0, 420.0: 90.0, 150.0: 42.0, 60.0: 8.0}
    distance, _ = _lines(seed, "stream", lattice, STREAM_SPACING, STREAM_COURSE, bends)
    presence = lattice.inner(smooth(lattice.rows, lattice.cols, 800, salt(seed, "stream-width")))
    return distance, np.clip(0.9 + 0.9 * presence, 0, 1.9)


def _settlements(seed: int, lattice: Lattice, hills: Floats) -> tuple[Floats, Floats, Floats]:
    rows, cols = lattice.rows, lattice.cols
    bends = {1900.0: 90.0, 600.0: 22.0}
    distance, _ = _lines(seed, "road", lattice, ROAD_SPACING, ROAD_COURSE, bends)
    presence = lattice.inner(smooth(rows, cols, 1300, salt(seed, "road-width")))
    width = np.clip(0.9 + 0.6 * presence, 0, 1.1)
    sprawl = fractal(rows, cols, (110, 40, 20), seed, "sprawl")
    chance = 0.62 - 0.22 * hills
    town = blobs(seed, "town", rows, cols, cell=480, chance=chance, radius=(40, 78))
    town = np.maximum(town, blobs(seed, "village", rows, cols, cell=210, chance=0.8 * chance, radius=(8, 17)))
    town = np.maximum(town, blobs(seed, "city", rows, cols, cell=6500, chance=0.8, radius=(200, 480)))
    town += np.clip(0.28 * (town + FAR), 3, 13) * sprawl
    town = lattice.inner(town + np.clip(0.3 * town, 0, 90) * (smooth(rows, cols, 330, salt(seed, "suburbs")) - 0.5))
    # settlements stretch along the roads
    return town + np.clip(7 - 0.5 * np.abs(distance), 0, 7).astype(np.float32), distance, width


def blobs(
    seed: int,
    name: str,
    rows: np.ndarray,
    cols: np.ndarray,
    *,
    cell: int,
    chance: Floats | float,
    radius: tuple[float, float],
) -> Floats:
    """Elliptic blobs, at most one a ``cell`` x ``cell`` pixels: signed distance, positive inside, at least ``-FAR``.

    ``chance`` is the probability of a blob, a number or a field at (rows, cols) that is read at the nodes themselves:
    a blob fades where the field falls below its own draw. Small radii are more frequent than large ones.
    """
    reach = 1.35 * (radius[1] + FAR)
    cell_rows = np.arange(int((rows[0] - reach) // cell), int((rows[-1] + reach) // cell) + 1)
    cell_cols = np.arange(int((cols[0] - reach) // cell), int((cols[-1] + reach) // cell) + 1)
    draws = hashes(cell_rows, cell_cols, salt(seed, name))
    result = np.full((len(rows), len(cols)), -FAR, np.float32)
    chances = np.broadcast_to(np.asarray(chance, np.float32), result.shape)
    for i, cell_row in enumerate(cell_rows):
        for j, cell_col in enumerate(cell_cols):
            y, x, size, turn, stretch, draw = _six(int(draws[i, j]))
            centre = cell * (int(cell_row) + 0.15 + 0.7 * y), cell * (int(cell_col) + 0.15 + 0.7 * x)
            down, across = _near(rows, centre[0], reach), _near(cols, centre[1], reach)
            if down.start == down.stop or across.start == across.stop:
                continue
            r = radius[0] + (radius[1] - radius[0]) * size * size
            blob = _ellipse(rows[down] - centre[0], cols[across] - centre[1], r, np.pi * turn, 1.05 + 0.3 * stretch)
            # 12 pixels of fading for each 0.1 of chance: no hard cut along a level of the field
            blob += np.minimum(0, 120 * (chances[down, across] - draw)).astype(np.float32)
            np.maximum(result[down, across], blob, out=result[down, across])
    return result


def _six(draw: int) -> list[float]:
    """Six numbers in [0, 1) from one hash."""
    values = uniform(mix(np.arange(1, 7, dtype=np.uint32) * np.uint32(0x9E3779B1) ^ np.uint32(draw)))
    return [float(value) for value in values]


def _near(axis: np.ndarray, centre: float, reach: float) -> slice:
    return slice(int(np.searchsorted(axis, centre - reach)), int(np.searchsorted(axis, centre + reach, "right")))


def _ellipse(down: np.ndarray, across: np.ndarray, radius: float, turn: float, stretch: float) -> Floats:
    along = (np.cos(turn) * across[None, :] + np.sin(turn) * down[:, None]) / stretch
    aside = (np.cos(turn) * down[:, None] - np.sin(turn) * across[None, :]) * stretch
    return (radius - np.sqrt(along * along + aside * aside)).astype(np.float32)
