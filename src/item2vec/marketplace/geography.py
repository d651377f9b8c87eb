"""Where the markets lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

KM_PER_DEGREE = 111.32

CITIES = (
    ("Paris", "FR", 48.8566, 2.3522),
    ("London", "GB", 51.5074, -0.1278),
    ("New York", "US", 40.7128, -74.0060),
    ("Barcelona", "ES", 41.3874, 2.1686),
    ("Rome", "IT", 41.9028, 12.4964),
    ("Tokyo", "JP", 35.6762, 139.6503),
    ("Berlin", "DE", 52.5200, 13.4050),
    ("Lisbon", "PT", 38.7223, -9.1393),
    ("Los Angeles", "US", 34.0522, -118.2437),
    ("Amsterdam", "NL", 52.3676, 4.9041),
    ("Copenhagen", "DK", 55.6761, 12.5683),
    ("Prague", "CZ", 50.0755, 14.4378),
    ("Vienna", "AT", 48.2082, 16.3738),
    ("Sydney", "AU", -33.8688, 151.2093),
    ("Mexico City", "MX", 19.4326, -99.1332),
    ("Montreal", "CA", 45.5019, -73.5674),
    ("Cape Town", "ZA", -33.9249, 18.4241),
    ("Dublin", "IE", 53.3498, -6.2603),
    ("Athens", "GR", 37.9838, 23.7275),
    ("Buenos Aires", "AR", -34.6037, -58.3816),
    ("San Francisco", "US", 37.7749, -122.4194),
    ("Porto", "PT", 41.1579, -8.6291),
    ("Seoul", "KR", 37.5665, 126.9780),
    ("Edinburgh", "GB", 55.9533, -3.1883),
)
LANGUAGES = {
    "FR": "fr", "GB": "en", "US": "en", "ES": "es", "IT": "it", "JP": "ja", "DE": "de", "PT": "pt",
    "NL": "nl",
    "DK": "da", "CZ": "cs", "AT": "de", "AU": "en", "MX": "es", "CA": "en", "ZA": "en", "IE": "en",
    "GR": "el", "AR": "es", "KR": "ko",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Markets:
    """The markets, largest first.

    Attributes
    ----------
    names, countries, languages : tuple of str
    latitude, longitude : ndarray of float64, shape (n_markets,), degrees
    """

    names: tuple[str, ...]
    countries: tuple[str, ...]
    languages: tuple[str, ...]
    latitude: npt.NDArray[np.float64]
    longitude: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.names)


def lay_out_markets(n_markets: int, rng: np.random.Generator) -> Markets:
    """Take real cities first, then invented ones between the polar circles."""
    named = CITIES[:n_markets]
    n_more = n_markets - len(named)
    countries = sorted(LANGUAGES)
    more_countries = [countries[i] for i in rng.integers(len(countries), size=n_more)]
    names = [city[0] for city in named] + [f"Town {i + 1:04d}" for i in range(n_more)]
    country = [city[1] for city in named] + more_countries
    latitude = np.r_[[city[2] for city in named], rng.uniform(-55, 65, n_more)]
    longitude = np.r_[[city[3] for city in named], rng.uniform(-179, 179, n_more)]
    return Markets(tuple(names), tuple(country), tuple(LANGUAGES[c] for c in country), latitude, longitude)
