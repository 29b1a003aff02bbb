"""What labels and predictions may be, by the rules of scikit-learn; everything else is refused before it is scored.

A network that has diverged predicts NaN, and any score of NaN is an accident of the order of the samples. So each
metric first asks here for its arrays. All functions raise `ValueError`, naming the array and what is wrong with it.
"""

from typing import Any

import numpy as np

_DIVERGED = "Did the training diverge, or is there a division by 0?"


def labels(y_true: np.ndarray, y_predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as classes, of one length: a column each, or rows of 0 and 1 each."""
    truth, guess = _plain(y_true, "y_true"), _plain(y_predicted, "y_predicted")
    _check_lengths(truth, guess)
    kinds = kind_of(truth, "y_true"), kind_of(guess, "y_predicted")
    if set(kinds) - {"binary", "multiclass"} and kinds != ("multilabel", "multilabel"):
        raise ValueError(
            f"y_true is {kinds[0]} and y_predicted is {kinds[1]}: classes are compared with classes. Of probabilities "
            "take the class first (probabilities > 0.5, or np.argmax(scores, axis=1)), and round no regression."
        )
    truth, guess = column(truth), column(guess)
    if truth.shape != guess.shape:
        raise ValueError(f"Labels of shape {truth.shape} and predictions of shape {guess.shape} do not fit.")
    if len({values.dtype.kind in "OUT" for values in (truth, guess)}) > 1:
        raise ValueError(f"y_true is of {truth.dtype} and y_predicted of {guess.dtype}: give text or numbers for both.")
    return truth, guess


def positives(y_true: np.ndarray, y_predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which samples are of class 1 in the truth, and in the predictions: columns of two classes, 1 among them."""
    truth, guess = labels(y_true, y_predicted)
    classes = sorted({*truth.ravel().tolist(), *guess.ravel().tolist()})
    if truth.ndim > 1 or len(classes) > 2 or (len(classes) == 2 and 1 not in classes):
        raise ValueError(
            f"Labels 0 and 1 are needed, found {classes[:5]} in y_true and the thresholded y_predicted, of shape "
            f"{truth.shape}: write the positive class as 1 and the other one as 0."
        )
    return truth == 1, guess == 1


def ranked(y_true: np.ndarray, y_score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels of two classes, or rows of 0 and 1, with one score for each."""
    truth, score = _plain(y_true, "y_true"), numbers(y_score, "y_predicted")
    _check_lengths(truth, score)
    kind = kind_of(truth, "y_true")
    if kind not in ("binary", "multilabel"):
        raise ValueError(f"y_true is {kind}: scores are ranked for two classes, 0 and 1, or for rows of 0 and 1.")
    truth, score = column(truth), column(score)
    if truth.shape != score.shape:
        raise ValueError(f"Labels of shape {truth.shape} and scores of shape {score.shape} do not fit.")
    return truth, score


def pair_of_numbers(y_true: np.ndarray, y_predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as floats `[samples, outputs]` of one precision, that of the more precise of the floats given."""
    given = [_plain(y_true, "y_true"), _plain(y_predicted, "y_predicted")]
    both = [numbers(_spelt(y, name), name) for y, name in zip(given, ("y_true", "y_predicted"), strict=True)]
    floats = [y.dtype for y in given if y.dtype.kind == "f"]
    # integers are wrapped round, and booleans refused, by a subtraction of their own
    precision = np.result_type(*floats) if floats else np.dtype(np.float64)
    truth, guess = ((y[:, None] if y.ndim == 1 else y).astype(precision, copy=False) for y in both)
    if truth.shape != guess.shape:
        raise ValueError(f"Targets of shape {truth.shape} and predictions of shape {guess.shape} do not fit.")
    return truth, guess


def numbers(values: np.ndarray, name: str) -> np.ndarray:
    """`values` if they are finite numbers."""
    values = _plain(values, name)
    if values.dtype.kind == "O":
        values = _floats(values, name)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} is of {values.dtype}: give numbers.")
    _check_finite(values, name)
    _check_shape(values, name)
    return values


def kind_of(values: np.ndarray, name: str) -> str:
    """What the values are: "binary", "multiclass" or "continuous"; of rows "multilabel" (0 and 1), or with " rows"."""
    _check_finite(values, name)
    _check_shape(values, name)
    if values.dtype == object and not isinstance(values.flat[0], str):
        raise ValueError(f"{name} holds {type(values.flat[0]).__name__} objects: give numbers or text as labels.")
    classes = np.unique(values)
    rows = values.ndim == 2 and values.shape[1] > 1
    whole = values.dtype.kind != "f" or bool(np.all(classes == np.floor(classes)))
    if rows and whole and len(classes) < 3 and values.dtype.kind in "biuf":
        return "multilabel"
    kind = "continuous" if not whole else "multiclass" if len(classes) > 2 or rows else "binary"
    return f"{kind} rows" if rows else kind


def classes_of_rows(values: np.ndarray, name: str) -> np.ndarray:
    """The place of the largest value in each row `[N, C]`; one that is not finite cannot win."""
    values = _plain(values, name)
    _check_shape(values, name)
    if values.dtype.kind == "f" and not np.isfinite(best := np.max(values, axis=1)).all():
        # log-probabilities may be -inf, but not all of a row
        row = int(np.argmin(np.isfinite(best)))
        raise ValueError(
            f"{name} has rows whose largest value is NaN or infinite, the first is row {row}, {values[row].tolist()}: "
            f"it names no class. {_DIVERGED}"
        )
    return np.argmax(values, axis=1)


def column(values: np.ndarray) -> np.ndarray:
    """`[N, 1]` as `[N]`, anything else as it is."""
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _plain(values: Any, name: str) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind == "V" and values.dtype.names is None:  # bfloat16 and its kin look like raw bytes to NumPy
        try:
            return values.astype(np.float32)
        except (TypeError, ValueError):
            pass
    if values.dtype.kind in "cSV":
        raise ValueError(f"{name} is of {values.dtype}: give real numbers, or text, not bytes or complex numbers.")
    return values


def _spelt(values: np.ndarray, name: str) -> np.ndarray:
    """Numbers that are written as text, as floats."""
    return _floats(values, name) if values.dtype.kind in "UT" else values


def _floats(values: np.ndarray, name: str) -> np.ndarray:
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is of {values.dtype} and is no array of numbers: {error}.") from None


def _check_finite(values: np.ndarray, name: str) -> None:
    if values.dtype.kind != "f":
        return
    wrong = ~np.isfinite(values)
    if wrong.any():
        where = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise ValueError(
            f"{name} has {int(wrong.sum())} of {values.size} values that are NaN or infinite, the first at "
            f"{list(where)}: no score of them means anything. {_DIVERGED}"
        )


def _check_shape(values: np.ndarray, name: str) -> None:
    if values.ndim not in (1, 2):
        raise ValueError(f"{name} has shape {values.shape}: give one value, or one row of values, for each sample.")
    if not values.size:
        raise ValueError(f"{name} is empty, of shape {values.shape}: there is nothing to score.")


def _check_lengths(truth: np.ndarray, guess: np.ndarray) -> None:
    if truth.ndim and guess.ndim and len(truth) != len(guess):
        raise ValueError(f"Labels of shape {truth.shape} and predictions of shape {guess.shape} do not fit.")
