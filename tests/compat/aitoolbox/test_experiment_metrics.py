"""The metrics agree with their definitions, and exactly with scikit-learn where it is installed."""

import itertools
import math

import numpy as np
import pytest
from aitoolbox.experiment.core_metrics.classification import (
    AccuracyMetric,
    F1ScoreMetric,
    PrecisionMetric,
    PrecisionRecallCurveAUCMetric,
    RecallMetric,
    ROCAUCMetric,
)
from aitoolbox.experiment.core_metrics.regression import MeanAbsoluteErrorMetric, MeanSquaredErrorMetric


def by_pairs(truth, score):
    """The ROC AUC by its definition: the share of pairs that are in order, ties as half."""
    pairs = [(a > b) + 0.5 * (a == b) for a in score[truth == 1] for b in score[truth == 0]]
    return sum(pairs) / len(pairs)


def by_thresholds(truth, score):
    """The area under precision over recall, threshold by threshold."""
    points = [(0.0, 1.0)]
    for threshold in sorted(set(score), reverse=True):
        called = score >= threshold
        points.append((np.sum(called & (truth == 1)) / np.sum(truth), np.mean(truth[called])))
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(points))


@pytest.mark.parametrize("seed", range(5))
def test_areas_by_their_definitions(seed):
    chance = np.random.default_rng(seed)
    truth, score = chance.integers(0, 2, 60), chance.integers(0, 12, 60) / 12
    assert ROCAUCMetric(truth, score).get_metric() == pytest.approx(by_pairs(truth, score), rel=1e-12)
    area = PrecisionRecallCurveAUCMetric(truth, score).get_metric()
    assert area == pytest.approx(by_thresholds(truth, score), rel=1e-12)
    assert type(area) is float and type(ROCAUCMetric(truth, score).get_metric()) is float


def test_counts():
    truth, score = [0, 0, 1, 1, 1, 0], [0.1, 0.6, 0.9, 0.5, 0.7, 0.4]
    numbers = [kind(truth, score).get_metric() for kind in (PrecisionMetric, RecallMetric, F1ScoreMetric)]
    assert numbers == [2 / 3, 2 / 3, 2 / 3] and all(type(number) is float for number in numbers)
    assert AccuracyMetric(truth, score).get_metric() == 5 / 6  # 0.5 counts as positive here
    assert RecallMetric(truth, score, positive_class_thresh=0.45).get_metric() == 1.0


def test_undefined_ones_are_said():
    with pytest.warns(UserWarning, match="F1 is not defined"):
        assert F1ScoreMetric([0, 0], [0.0, 0.0]).get_metric() == 0.0
    with pytest.warns(UserWarning, match="only one class"):
        assert math.isnan(ROCAUCMetric([1, 1], [0.5, 0.6]).get_metric())
    with pytest.warns(UserWarning, match="no positive label"):
        assert PrecisionRecallCurveAUCMetric([0, 0], [0.5, 0.6]).get_metric() == 0.5  # as scikit-learn


def test_wrong_shapes_and_labels():
    with pytest.raises(ValueError, match="do not fit"):
        AccuracyMetric([1, 0], [1])
    with pytest.raises(ValueError, match="Labels 0 and 1"):
        F1ScoreMetric([1, 2, 3], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="do not fit"):
        MeanSquaredErrorMetric([1, 2], [1])


def test_errors_of_columns():
    truth, guess = np.arange(6.0).reshape(3, 2), np.ones((3, 2))
    assert MeanSquaredErrorMetric(truth, guess).get_metric() == pytest.approx(np.mean((truth - guess) ** 2))
    assert MeanAbsoluteErrorMetric(truth, guess).get_metric() == pytest.approx(np.mean(np.abs(truth - guess)))
    assert MeanSquaredErrorMetric([[1], [2]], [1, 4]).get_metric() == 2.0


@pytest.mark.parametrize("seed", range(5))
def test_scikit_learn_agrees(seed):
    sk = pytest.importorskip("sklearn.metrics")
    chance = np.random.default_rng(seed)
    truth, score = chance.integers(0, 2, 200), np.round(chance.random(200), 2)
    labels = (score > 0.5).astype(int)
    precision, recall, _ = sk.precision_recall_curve(truth, score)
    for mine, theirs in [
        (AccuracyMetric(truth, score), sk.accuracy_score(truth, score >= 0.5)),
        (F1ScoreMetric(truth, score), sk.f1_score(truth, labels)),
        (PrecisionMetric(truth, score), sk.precision_score(truth, labels)),
        (RecallMetric(truth, score), sk.recall_score(truth, labels)),
        (ROCAUCMetric(truth, score), sk.roc_auc_score(truth, score)),
        (PrecisionRecallCurveAUCMetric(truth, score), sk.auc(recall, precision)),
        (MeanSquaredErrorMetric(truth, score), sk.mean_squared_error(truth, score)),
        (MeanAbsoluteErrorMetric(truth, score), sk.mean_absolute_error(truth, score)),
    ]:
        assert mine.get_metric() == theirs and type(mine.get_metric()) is float
