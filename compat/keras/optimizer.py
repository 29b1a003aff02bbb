"""`AnalogOptimizer`: pulses for the devices, a Keras optimiser for everything else."""

from typing import Any

import jax.numpy as jnp
import keras

from analogjax.errors import ConfigError
from compat.keras.pulsed_matrix import ByPulses


@keras.saving.register_keras_serializable(package="analogjax")
class AnalogOptimizer(keras.optimizers.Optimizer):
    """Optimiser of Keras models with pulsed layers.

    The devices of pulsed layers move along `-learning_rate d^T x` by pulses, and then rest for one mini-batch. All
    other variables (biases, other layers, hardware-aware weights) are left to an ordinary Keras optimiser, with its own
    learning rate: `optimizer.digital.learning_rate`.

    Args:
        optimizer: A Keras optimiser, or its name, for everything but the devices.
        learning_rate: Learning rate of the pulses, or a Keras schedule. Set `optimizer.learning_rate = ...` to change
            it, as Keras's callbacks do.
        name: Name of the optimiser.

    Raises:
        ConfigError: If the Keras optimiser scales the loss, accumulates gradients, averages variables or is an
            `AnalogOptimizer`.

    Example:
        >>> model.compile(AnalogOptimizer(keras.optimizers.Adam(1e-3), learning_rate=0.1), "mse")

    References:
        Gokmen & Vlasov 2016, doi:10.3389/fnins.2016.00333.
    """

    _made = False

    def __init__(self, optimizer: Any = "sgd", learning_rate: Any = 0.01, name: str = "analog_optimizer") -> None:
        digital = keras.optimizers.get(optimizer)
        _check(digital)
        super().__init__(learning_rate=learning_rate, name=name)
        self.digital = digital
        self._guards: list[ByPulses] = []
        self._made = True

    @property
    def loss_scale_factor(self) -> None:
        """Factor of the loss: none, since pulses are made of the errors as they are."""
        return None

    @loss_scale_factor.setter
    def loss_scale_factor(self, value: Any) -> None:
        if self._made:
            raise ConfigError(
                "AnalogOptimizer: can't be put into a LossScaleOptimizer, because pulses would be made of the scaled "
                "errors; compile the model with the AnalogOptimizer itself, in float32 or mixed_bfloat16."
            )

    def build(self, variables: list[Any]) -> None:
        """Make the state of the optimiser, and tell the pulsed layers their learning rate."""
        super().build(variables)
        self._guards = list({id(one.constraint): one.constraint for one in variables if _is_pulsed(one)}.values())
        for guard in self._guards:
            guard.has_optimizer = True
        self.digital.build([one for one in variables if not _is_pulsed(one)])
        self._tell_rate()

    @property
    def variables(self) -> list[Any]:
        """Its own variables and those of the digital optimiser."""
        return self._variables + self.digital.variables

    @property
    def learning_rate(self) -> Any:
        """Learning rate of the pulses."""
        return self._get_current_learning_rate()

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        keras.optimizers.Optimizer.learning_rate.fset(self, value)
        self._tell_rate()

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Take one step: devices as the pulses left them, other variables by the digital optimiser."""
        if trainable_variables is not None and not self.built:
            self.build(list(trainable_variables))
        variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
        self._check_variables_are_known(variables)
        pairs = list(zip(grads, variables, strict=True))
        passed = {id(one): gradient for gradient, one in pairs if _is_pulsed(one)}
        for gradient, one in pairs:
            if _is_pulsed(one) and one is not one.constraint.rate and gradient is not None:
                # without a backward pass through the layer there is no new state, and its gradient is 0
                was_read = passed[id(one.constraint.rate)] > 0
                one.assign(jnp.where(was_read, gradient, one.value))
        left = [(gradient, one) for gradient, one in pairs if not _is_pulsed(one)]
        if left:
            self.digital.apply(*zip(*left, strict=True))
        self._iterations.assign_add(1)
        self._tell_rate()

    def finalize_variable_values(self, var_list: list[Any]) -> None:
        """What the digital optimiser does at the end of training."""
        self.digital.finalize_variable_values([one for one in var_list if not _is_pulsed(one)])

    def get_config(self) -> dict[str, Any]:
        """All arguments, as plain values."""
        rate = super().get_config()["learning_rate"]
        digital = keras.saving.serialize_keras_object(self.digital)
        return {"name": self.name, "learning_rate": rate, "optimizer": digital}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "AnalogOptimizer":
        """The optimiser of these plain values."""
        parts = {name: config[name] for name in ("learning_rate", "optimizer") if isinstance(config.get(name), dict)}
        made = {
            name: keras.saving.deserialize_keras_object(part, custom_objects=custom_objects)
            for name, part in parts.items()
        }
        return cls(**{**config, **made})

    def _tell_rate(self) -> None:
        """The layers make the pulses, so they hold the rate: that of the step to come."""
        for guard in self._guards:
            guard.rate.assign(jnp.array(self.learning_rate, jnp.float32))  # a copy: each variable has its own memory


def _is_pulsed(variable: Any) -> bool:
    return isinstance(getattr(variable, "constraint", None), ByPulses)


def _check(digital: Any) -> None:
    kinds = (AnalogOptimizer, keras.optimizers.LossScaleOptimizer)
    names = ("loss_scale_factor", "gradient_accumulation_steps", "use_ema")
    wrong = [name for name in names if getattr(digital, name, None)]
    if isinstance(digital, kinds) or wrong:
        given = type(digital).__name__ if isinstance(digital, kinds) else f"{wrong[0]} of {type(digital).__name__}"
        raise ConfigError(
            f"AnalogOptimizer(optimizer=...): {given} does not go with pulses, which are made in every step, of errors "
            "that are not scaled, and move devices that can't be averaged; give a plain Keras optimiser."
        )
