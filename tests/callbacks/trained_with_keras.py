"""A small training with Keras for the tests: `train(folder, **options)` returns its bits."""

import hashlib
import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

from analogjax.callbacks import KerasBackup


def model(units=8, rate=0.01):
    layers = [
        keras.Input((6,)),
        keras.layers.Dense(units, activation="tanh"),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.3, seed=5),
        keras.layers.Dense(3),
    ]
    made = keras.Sequential(layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile(keras.optimizers.Adam(rate), loss=loss, metrics=["accuracy"])
    return made


def data():
    dice = np.random.default_rng(0)
    return dice.normal(size=(60, 6)).astype("float32"), dice.integers(0, 3, 60)


def fit(made, backup, *others, epochs=4, **options):
    x, y = data()
    settings = {"batch_size": 8, "validation_data": (x[:20], y[:20]), "verbose": 0} | options
    return made.fit(x, y, epochs=epochs, callbacks=[backup, *others] if backup else list(others), **settings)


def bits(made, history):
    """Every variable of the model, its optimizer and the history, exactly."""
    values = [keras.ops.convert_to_numpy(one.value).tobytes() for one in (*made.variables, *made.optimizer.variables)]
    told = repr((history.epoch, sorted(history.history.items())))
    return hashlib.sha256(b"".join(values) + told.encode()).hexdigest()


def train(folder, epochs=4, keep_last=2):
    keras.utils.set_random_seed(3)
    made = model()
    plateau = keras.callbacks.ReduceLROnPlateau(patience=1)
    with KerasBackup(folder, every_steps=1, keep_last=keep_last, callbacks=[plateau]) as backup:
        history = fit(made, backup, plateau, epochs=epochs)
    return {"end": bits(made, history), "best": backup.best()}
