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
from aitoolbox.experiment.result_package.basic_packages import (
    BinaryClassificationResultPackage,
    ClassificationResultPackage,
    GeneralResultPackage,
    RegressionResultPackage,
)


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


NAN, INF = float("nan"), float("inf")
KINDS = {  # one array of every kind, of four samples unless the name says otherwise
    "binary": [0, 1, 1, 0], "as floats": [0.0, 1.0, 1.0, 0.0], "as bools": [True, False, True, True],
    "as bytes": np.array([0, 1, 1, 1], np.uint8), "column": [[0], [1], [0], [0]], "signs": [-1, 1, 1, -1],
    "ones": [1, 1, 1, 1], "zeros": [0, 0, 0, 0], "twos": [2, 2, 2, 2], "one and two": [1, 2, 2, 1],
    "classes": [0, 3, 1, 3], "text": ["no", "yes", "yes", "no"], "texts": ["a", "b", "c", "a"],
    "probabilities": [0.2, 0.7, 0.5, 0.4], "half": np.array([0.2, 0.7, 0.5, 0.5], np.float16),
    "single": np.array([0.1, 0.3, 0.3, 1.0], np.float32), "column of probabilities": [[0.3], [0.6], [0.9], [0.1]],
    "logits": [-3.0, 2.5, 0.1, 7.0], "numbers": [3.5, -2.0, 4.0, 8.25],
    "large bytes": np.array([200, 3, 255, 0], np.uint8),
    "one-hot": [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]], "two-hot": [[1, 0], [0, 1], [1, 1], [0, 0]],
    "rows": [[0.2, 0.8], [0.6, 0.4], [0.5, 0.5], [0.1, 0.9]], "rows of numbers": [[1, 2], [2, 3], [3, 4], [5, 4]],
    "logits with -inf": [[-INF, 0.0], [0.0, -INF], [1.0, 0.5], [0.0, 2.0]], "spelt": ["1", "0.5", "2", "3"],
    "a NaN": [0.2, NAN, 0.5, 0.4], "only NaN": [NAN] * 4, "an inf": [0.2, INF, 0.5, 0.4], "a -inf": [0.2, 0.3, -INF, 1],
    "half NaN": np.array([0, NAN, 1, 1], np.float16), "label NaN": [0, 1, NAN, 1], "label inf": [0, 1, INF, 1],
    "complex": [1j, 0, 1, 1], "None": [0, 1, None, 1], "mixed": [0, 1, "a", 1], "dates": ["a", 1.5, 2, 1],
    "empty": [], "empty rows": [[]], "three": [0, 1, 1], "three probabilities": [0.1, 0.9, 0.4], "a number": 1,
}  # fmt: skip
CLEAN = [name for name in KINDS if not any(word in name for word in ("NaN", "inf", "complex"))] + ["logits with -inf"]


def by_scikit_learn(kind, truth, guess):
    """The metric as aitoolbox computes it, with scikit-learn."""
    sk = pytest.importorskip("sklearn.metrics")
    truth, guess = np.array(truth), np.array(guess)
    if kind is AccuracyMetric or kind is ClassificationResultPackage:
        if guess.ndim > 1 and guess.shape[1] > 1:
            guess = np.argmax(guess, axis=1)
        elif kind is AccuracyMetric and np.min(guess) >= 0 and np.max(guess) <= 1:
            guess = guess >= 0.5
        truth = np.argmax(truth, axis=1) if truth.ndim > 1 and truth.shape[1] > 1 else truth
        return sk.accuracy_score(truth, guess)
    if kind is PrecisionRecallCurveAUCMetric:
        precision, recall, _ = sk.precision_recall_curve(truth, guess)
        return sk.auc(recall, precision)
    scores = {F1ScoreMetric: sk.f1_score, PrecisionMetric: sk.precision_score, RecallMetric: sk.recall_score}
    if kind in scores:
        return scores[kind](truth, np.where(guess > 0.5, 1, 0))
    others = {
        ROCAUCMetric: sk.roc_auc_score,
        MeanSquaredErrorMetric: sk.mean_squared_error,
        MeanAbsoluteErrorMetric: sk.mean_absolute_error,
    }
    return others[kind](truth, guess)


def ours(kind, truth, guess):
    if issubclass(kind, ClassificationResultPackage):
        package = kind()
        package.prepare_result_package(truth, guess, hyperparameters={})
        return package.get_results()["Accuracy"]
    return kind(truth, guess).get_metric()


def outcome(act, *inputs):
    try:
        return act(*inputs)
    except (ValueError, TypeError, IndexError) as error:
        return type(error)


METRICS = [
    AccuracyMetric, ClassificationResultPackage, ROCAUCMetric, PrecisionRecallCurveAUCMetric, F1ScoreMetric,
    PrecisionMetric, RecallMetric, MeanSquaredErrorMetric, MeanAbsoluteErrorMetric,
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # of both, where a metric is not defined
@pytest.mark.parametrize("kind", METRICS)
def test_every_kind_of_input_is_scored_as_by_scikit_learn_or_refused_as_there(kind):
    numbers = 0
    for one, other in itertools.product(CLEAN, KINDS):
        mine, theirs = (outcome(act, kind, KINDS[one], KINDS[other]) for act in (ours, by_scikit_learn))
        if mine is ValueError and not isinstance(theirs, float):
            continue
        if mine is ValueError:  # stricter: scikit-learn doesn't see what was thresholded, and leaves out columns
            stricter = {"a NaN", "only NaN", "an inf", "a -inf", "half NaN", "label NaN", "label inf", "complex"}
            odd = kind is ROCAUCMetric and (
                math.isnan(theirs) or np.shape(KINDS[one])[1:] != np.shape(KINDS[other])[1:]
            )
            assert other in stricter or odd, (one, other)
            continue
        assert mine == theirs or (math.isnan(mine) and math.isnan(theirs)), (one, other, mine, theirs)
        assert type(mine) is float
        numbers += 1
    assert numbers >= 50


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("kind", METRICS)
def test_what_is_not_finite_is_never_scored(kind, bad):
    for place, dtype in itertools.product(range(3), (np.float64, np.float32, np.float16)):
        wrong = np.array([0, 1, 1], dtype)
        wrong[place] = bad
        with pytest.raises(ValueError, match=r"y_predicted has 1 of 3 values .*\[" + str(place)):
            ours(kind, [0, 1, 1], wrong)
        with pytest.raises(ValueError, match="y_true has 1 of 3"):
            ours(kind, wrong, [0, 1, 1])


@pytest.mark.parametrize("rows", [[[NAN, 1], [0, 1]], [[0, 1], [INF, 0]], [[-INF, -INF], [0, 1]]])
@pytest.mark.parametrize("kind", [AccuracyMetric, ClassificationResultPackage])
def test_rows_that_name_no_class(kind, rows):
    with pytest.raises(ValueError, match=r"y_predicted has rows whose largest value is NaN or infinite"):
        ours(kind, [1, 0], rows)
    with pytest.raises(ValueError, match=r"y_true has rows"):
        ours(kind, rows, [1, 0])


@pytest.mark.parametrize(
    ("package", "truth", "guess"),
    [
        (BinaryClassificationResultPackage, [0, 0, 1, 1], [NAN] * 4),
        (BinaryClassificationResultPackage, [1, 1, 0, 0], [0.2, 0.1, INF, 0.3]),
        (BinaryClassificationResultPackage, [0, 1, 1], [-2.0, 3.0, 0.5]),
        (BinaryClassificationResultPackage, [-1, 1, 1], [0.2, 0.9, 0.4]),
        (BinaryClassificationResultPackage, [], []),
        (BinaryClassificationResultPackage, [0, 1], [0.1, 0.2, 0.3]),
        (ClassificationResultPackage, [0, 1], [0, NAN]),
        (ClassificationResultPackage, [0, 1, 0], [0.2, 0.7, 0.4]),
        (ClassificationResultPackage, [0, 1, 0], [[0.2], [0.7], [0.4]]),
        (ClassificationResultPackage, [0.5, 1, 0], [0, 1, 0]),
        (RegressionResultPackage, [1.0, 2.0], [1.0, NAN]),
        (RegressionResultPackage, [1.0, -INF], [1.0, 2.0]),
        (RegressionResultPackage, [1j], [1j]),
        (RegressionResultPackage, [], []),
        (lambda: GeneralResultPackage([ROCAUCMetric]), [0, 1], [NAN, 1]),
    ],
)  # fmt: skip
def test_a_package_of_invalid_predictions_has_no_results(package, truth, guess):
    made = package()
    with pytest.raises(ValueError):
        made.prepare_result_package(truth, guess, hyperparameters={})
    assert made.results_dict is None


def test_predictions_of_jax_in_bfloat16_are_numbers():
    jnp = pytest.importorskip("jax.numpy")
    guess = jnp.array([0.25, 0.75], jnp.bfloat16)
    assert AccuracyMetric([0, 1], guess).get_metric() == 1.0
    assert MeanSquaredErrorMetric([0, 1], guess).get_metric() == 0.0625
    with pytest.raises(ValueError, match="NaN"):
        ROCAUCMetric([0, 1], guess.at[0].set(NAN))
