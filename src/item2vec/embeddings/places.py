"""Places on the globe: coordinates as they can be trusted, and great-circle distances."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.arrow import arrow_values
from item2vec.errors import DataError

EARTH_KM = 6371.0  # mean radius
KM_PER_MILE = 1.609344

Degrees = npt.NDArray[np.float64]


def coordinates(latitude: pa.Array | None, longitude: pa.Array | None) -> Degrees | None:
    """Return latitude and longitude as an array, shape (n_items, 2), NaN where one is unknown or impossible.

    Raises
    ------
    DataError
        If one of them is no number.
    """
    if latitude is None or longitude is None:
        return None
    columns = []
    for name, values, most in (("latitude", latitude, 90.0), ("longitude", longitude, 180.0)):
        if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
            raise DataError(f"the item table's {name} is {values.type}; it must be a number of degrees")
        degrees = numbers(values)
        columns.append(np.where(np.abs(degrees) <= most, degrees, np.nan))
    return np.stack(columns, axis=1)


def numbers(array: pa.Array) -> Degrees:
    """Return an Arrow number column as float64, NaN where it is null (``to_numpy`` would import pandas)."""
    known = arrow_values(pc.is_valid(array).cast(pa.uint8()), np.uint8).astype(np.bool_)
    return np.where(known, arrow_values(array.cast(pa.float64(), safe=False), np.float64), np.nan)


def kilometres(one: Degrees, other: Degrees) -> npt.NDArray[np.float64]:
    """Return great-circle distances between rows of (latitude, longitude) in degrees, shape (n,)."""
    (lat_1, lon_1), (lat_2, lon_2) = np.radians(one).T, np.radians(other).T
    half = np.sin((lat_2 - lat_1) / 2) ** 2 + np.cos(lat_1) * np.cos(lat_2) * np.sin((lon_2 - lon_1) / 2) ** 2
    distances: npt.NDArray[np.float64] = 2 * EARTH_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1)))
    return distances


def miles(one: Degrees, other: Degrees) -> npt.NDArray[np.float64]:
    """Return great-circle distances in miles; see :func:`kilometres`."""
    return kilometres(one, other) / KM_PER_MILE


def sphere_points(places: Degrees) -> npt.NDArray[np.float64]:
    """Return places as points on the unit sphere, shape (n, 3): nearest by chord is nearest on the globe."""
    latitude, longitude = np.radians(places).T
    flat = np.cos(latitude)
    return np.stack([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)], axis=1)


def chord(distance_miles: float) -> float:
    """Return the straight distance on the unit sphere between two places so many miles apart."""
    angle = min(distance_miles * KM_PER_MILE / EARTH_KM, np.pi)
    return float(2 * np.sin(angle / 2))
