"""LambdaRank on boosted trees (LightGBM): the ranker that the features are tried with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.embeddings.parameters import Estimator
from item2vec.errors import MissingDependencyError, UsageError
from item2vec.evaluation.ranking.labels import LABEL_GAIN
from item2vec.evaluation.ranking.protocol import judged_rows

Curve = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


class LambdaRank(Estimator):
    """Boosted trees that learn to order the listings of a search (Burges 2010, LightGBM's ``lambdarank``).

    Labels are the whole numbers of :func:`search_labels`, worth :data:`LABEL_GAIN`. The same seed gives the
    same trees, with any number of threads.

    Parameters
    ----------
    n_trees : int
    learning_rate : float
    num_leaves : int
        Leaves of a tree.
    min_child_samples : int
        Fewest rows of a leaf.
    feature_fraction : float
        Share of the columns that each tree sees.
    seed : int
    workers : int, optional
        Threads; as many as there are cores by default.

    Attributes
    ----------
    booster_ : lightgbm.Booster
    features_ : list of str
        Names of the columns.
    """

    def __init__(
        self,
        n_trees: int = 150,
        learning_rate: float = 0.05,
        num_leaves: int = 15,
        min_child_samples: int = 50,
        feature_fraction: float = 0.7,
        seed: int = 1,
        workers: int | None = None,
    ) -> None:
        self.n_trees = n_trees
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.min_child_samples = min_child_samples
        self.feature_fraction = feature_fraction
        self.seed = seed
        self.workers = workers

    def fit(self, features: pa.Table, labels: pa.Table) -> Self:
        """Learn from labelled searches.

        Parameters
        ----------
        features : pyarrow.Table, n_rows
            Numbers, a column per feature; NaN or null where there is none.
        labels : pyarrow.Table, n_rows
            The same rows: ``user_id``, ``search_id`` and ``label``.

        Raises
        ------
        MissingDependencyError
            If LightGBM is not installed.
        UsageError
            If the tables have other numbers of rows, or none.
        """
        lightgbm = _lightgbm()
        judged = judged_rows(labels)
        if features.num_rows != len(judged.labels) or not len(judged.labels):
            raise UsageError(
                f"{features.num_rows} rows of features and {len(judged.labels)} labels; give as many of both"
            )
        order = np.argsort(judged.searches, kind="stable")  # LightGBM wants a search's rows together
        self.features_: list[str] = list(features.column_names)
        data = lightgbm.Dataset(
            _matrix(features, self.features_)[order],
            label=judged.labels[order],
            group=np.bincount(judged.searches),
            feature_name=[f"f{number}" for number in range(len(self.features_))],  # any text may name ours
            free_raw_data=True,
        )
        self.booster_: Any = lightgbm.train(self._parameters(), data, num_boost_round=self.n_trees)
        return self

    def _parameters(self) -> dict[str, Any]:
        return {
            "objective": "lambdarank",
            "label_gain": list(LABEL_GAIN),
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": self.min_child_samples,
            "feature_fraction": self.feature_fraction,
            "seed": self.seed,
            "num_threads": self.workers or 0,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }

    def scores(self, features: pa.Table) -> npt.NDArray[np.float64]:
        """Score rows, float64 of shape (n_rows,); higher is better within a search.

        Raises
        ------
        UsageError
            If it is not fitted, or a column it learned from is missing.
        """
        return self._predict(_matrix(features, self._fitted()))

    @property
    def importance_(self) -> dict[str, float]:
        """Share of the gain of all splits that a column's splits have, largest first."""
        names = self._fitted()
        gains = self.booster_.feature_importance("gain")
        total = max(float(gains.sum()), 1e-300)
        return {names[place]: float(gains[place]) / total for place in np.argsort(-gains, kind="stable")}

    def partial_dependence(
        self, features: pa.Table, name: str, *, n_points: int = 20, max_rows: int = 2000, seed: int = 1
    ) -> Curve:
        """Return how the mean score moves with one column, the others as they are (Friedman 2001).

        Parameters
        ----------
        features : pyarrow.Table
        name : str
            One of its columns.
        n_points : int
            Quantiles of the column, from its 1st to its 99th percentile, at which to ask.
        max_rows : int
            Rows drawn to average over.
        seed : int

        Returns
        -------
        (values, scores) : ndarrays of float64, shape (n,)
            Distinct values ascending, and mean scores less their own mean; empty where the column is.

        Raises
        ------
        UsageError
            If it is not fitted or did not learn from such a column.
        """
        names = self._fitted()
        if name not in names:
            raise UsageError(f"no column {name!r} was learned from, only {', '.join(names)}")
        rows = _matrix(features, names)
        column = names.index(name)
        known = rows[~np.isnan(rows[:, column]), column]
        if not len(known):
            return np.zeros(0), np.zeros(0)
        values = np.unique(np.quantile(known, np.linspace(0.01, 0.99, n_points)))
        if len(rows) > max_rows:
            rows = rows[np.random.default_rng(seed).choice(len(rows), max_rows, replace=False)]
        means = np.empty(len(values))
        for place, value in enumerate(values):
            rows[:, column] = value
            means[place] = self._predict(rows).mean()
        return values, means - means.mean()

    def _fitted(self) -> list[str]:
        if not hasattr(self, "booster_"):
            raise UsageError("this ranker is not fitted; call fit(features, labels) first")
        return self.features_

    def _predict(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = self.booster_.predict(rows, num_threads=self.workers or 0)
        return found


def _matrix(features: pa.Table, names: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return columns as float64, shape (n_rows, n_columns), NaN for null."""
    lacking = [name for name in names if name not in features.column_names]
    if lacking:
        raise UsageError(f"the features have no column {', '.join(lacking)}")
    columns = [features[name].cast(pa.float64()).fill_null(float("nan")) for name in names]
    return np.column_stack([np.asarray(column.to_numpy(), np.float64) for column in columns])


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError as error:
        raise MissingDependencyError(
            "the ranker needs LightGBM, which is not installed: pip install 'item2vec[rank]'"
        ) from error
    return lightgbm
