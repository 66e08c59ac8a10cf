"""The families of classifiers: parameters, and a seed if the fit is random -> an untrained model.

A method whose time grows with the square of the rows refuses large tables; its approximation is a separate family.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from lightgbm import LGBMClassifier
from sklearn.covariance import ShrunkCovariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from ml.models.calibration import TailCalibrated
from ml.models.classifiers import BoundedClassifier, ScikitClassifier


def _calibrated(make: Callable[[], Any], calibrated: bool) -> ScikitClassifier:
    """An overconfident classifier, either calibrated on the latest train rows, or fitted on all rows uncalibrated."""
    return ScikitClassifier((lambda: TailCalibrated(make())) if calibrated else make)


def class_prior() -> ScikitClassifier:
    """The shares of the classes in the train rows, independent of the inputs: a baseline for classifiers."""
    return ScikitClassifier(lambda: DummyClassifier(strategy="prior"))


def logistic(c: float = 1.0) -> ScikitClassifier:
    """Logistic regression, multinomial; `c` is the inverse of the L2 penalty. Source: Cox (1958)."""
    return ScikitClassifier(lambda: LogisticRegression(C=c, max_iter=1000))


def linear_svm(c: float = 0.025) -> ScikitClassifier:
    """Linear support vectors with calibrated probabilities; `c` is the inverse of the L2 penalty.

    Source: Cortes and Vapnik, Support-Vector Networks (1995).
    """
    # The primal problem: no random order of rows, and time linear in them.
    return ScikitClassifier(lambda: TailCalibrated(LinearSVC(C=c, dual=False)))


def rbf_svm(c: float = 1.0, gamma: float | None = None, row_limit: int = 10_000) -> ScikitClassifier:
    """Support vectors with a Gaussian kernel, exact, with calibrated probabilities.

    Args:
        c: inverse of the penalty.
        gamma: of the kernel exp(-gamma d^2); None for 1 / columns.
        row_limit: most train rows that it accepts; `rbf_svm_nystroem` has no limit.
    """
    kernel_width = "auto" if gamma is None else gamma
    return BoundedClassifier(lambda: TailCalibrated(SVC(C=c, gamma=kernel_width)), row_limit, "rbf_svm_nystroem")


def rbf_svm_nystroem(
    seed: int = 0, c: float = 0.1, gamma: float | None = None, landmarks: int = 100
) -> ScikitClassifier:
    """Approximation of `rbf_svm`: a linear one on the kernel's similarities to `landmarks` random rows.

    Source: Williams and Seeger, Using the Nystroem Method to Speed Up Kernel Machines (2001).
    """

    def make() -> TailCalibrated:
        kernel = Nystroem(gamma=gamma, n_components=landmarks, random_state=seed)
        return TailCalibrated(make_pipeline(kernel, LinearSVC(C=c, dual=False)))

    return ScikitClassifier(make)


def decision_tree(seed: int = 0, depth: int = 5, minimal_rows_in_leaf: int = 50) -> ScikitClassifier:
    """One tree of at most `depth` levels; the seed breaks ties. Source: Breiman et al., CART (1984)."""
    return ScikitClassifier(
        lambda: DecisionTreeClassifier(max_depth=depth, min_samples_leaf=minimal_rows_in_leaf, random_state=seed),
        np.float32,
    )


def random_forest_classifier(
    seed: int = 0, trees: int = 50, depth: int = 8, minimal_rows_in_leaf: int = 50, columns: float = 0.25
) -> ScikitClassifier:
    """Mean of trees that each see a sample of the rows, and each split a share of the columns.

    Source: Breiman, Random Forests (2001).
    """
    return ScikitClassifier(
        lambda: RandomForestClassifier(
            n_estimators=trees,
            max_depth=depth,
            min_samples_leaf=minimal_rows_in_leaf,
            max_features=columns,
            max_samples=0.5,
            random_state=seed,
            n_jobs=1,
        ),
        np.float32,
    )


def ada_boost(seed: int = 0, trees: int = 50, learning_rate: float = 1.0, calibrated: bool = True) -> ScikitClassifier:
    """Stumps on rows reweighted by the errors of the earlier ones; its raw probabilities of three classes are too flat.

    Source: Freund and Schapire (1997); Hastie et al., Multi-class AdaBoost (2009).
    """
    return _calibrated(
        lambda: AdaBoostClassifier(n_estimators=trees, learning_rate=learning_rate, random_state=seed), calibrated
    )


def gradient_boosting_classifier(
    seed: int = 0, trees: int = 50, learning_rate: float = 0.1, depth: int = 3, columns: float = 0.25
) -> ScikitClassifier:
    """Gradient boosting over every split of every column; `hist_gradient_boosting_classifier` approximates it faster.

    Source: Friedman, Greedy Function Approximation: A Gradient Boosting Machine (2001).
    """
    return ScikitClassifier(
        lambda: GradientBoostingClassifier(
            n_estimators=trees,
            learning_rate=learning_rate,
            max_depth=depth,
            max_features=columns,
            subsample=0.5,
            random_state=seed,
        ),
        np.float32,
    )


def hist_gradient_boosting_classifier(
    seed: int = 0, trees: int = 50, learning_rate: float = 0.06, leaves: int = 15, l2: float = 1.0
) -> ScikitClassifier:
    """Gradient boosting over 255 bins per column, without the random validation split (rows are a time series)."""
    return ScikitClassifier(
        lambda: HistGradientBoostingClassifier(
            max_iter=trees,
            learning_rate=learning_rate,
            max_leaf_nodes=leaves,
            l2_regularization=l2,
            early_stopping=False,
            random_state=seed,
        ),
        np.float32,
    )


def lightgbm_classifier(
    seed: int = 0, trees: int = 100, learning_rate: float = 0.05, leaves: int = 15, minimal_rows_in_leaf: int = 100
) -> ScikitClassifier:
    """LightGBM with the settings of `LightGBMModel`. Source: Ke et al., LightGBM (2017)."""
    return ScikitClassifier(
        lambda: LGBMClassifier(
            n_estimators=trees,
            learning_rate=learning_rate,
            num_leaves=leaves,
            min_child_samples=minimal_rows_in_leaf,
            subsample=0.8,
            subsample_freq=1,
            colsample_bytree=0.8,
            random_state=seed,
            deterministic=True,
            force_row_wise=True,
            n_jobs=1,
            verbose=-1,
        ),
        np.float32,
    )


def naive_bayes(smoothing: float = 1e-3, calibrated: bool = True) -> ScikitClassifier:
    """Gaussian naive Bayes: uncalibrated, its ranking is useful, but its probabilities are overconfident.

    `smoothing` times the largest variance is added to each variance, so that a constant column has no effect.
    Source: Niculescu-Mizil and Caruana, Predicting Good Probabilities with Supervised Learning (2005).
    """
    return _calibrated(lambda: GaussianNB(var_smoothing=smoothing), calibrated)


def linear_discriminant(shrinkage: float | None = None) -> ScikitClassifier:
    """LDA: one covariance for all classes, shrunk for collinear columns; None chooses by Ledoit and Wolf (2004).

    Source: Fisher, The Use of Multiple Measurements in Taxonomic Problems (1936).
    """
    chosen = "auto" if shrinkage is None else shrinkage
    return ScikitClassifier(lambda: LinearDiscriminantAnalysis(solver="lsqr", shrinkage=chosen))


def quadratic_discriminant(shrinkage: float = 0.1, calibrated: bool = True) -> ScikitClassifier:
    """QDA: one covariance per class, shrunk towards a sphere for collinear columns and for classes of few rows.

    Uncalibrated it is overconfident, because returns have fatter tails than the normal distribution.
    Source: Friedman, Regularized Discriminant Analysis (1989).
    """

    def make() -> QuadraticDiscriminantAnalysis:
        covariance = ShrunkCovariance(shrinkage=shrinkage)
        return QuadraticDiscriminantAnalysis(solver="eigen", covariance_estimator=covariance)

    return _calibrated(make, calibrated)
