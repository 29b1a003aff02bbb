"""Other configurations for tiles that are there, given or from a checkpoint."""

import copy
import io

import pytest
import torch

from compat.aihwkit.exceptions import TileModuleError
from compat.aihwkit.inference import PCMLikeNoiseModel
from compat.aihwkit.nn import AnalogLinear, AnalogSequential
from compat.aihwkit.simulator import configs as c
from compat.aihwkit.simulator import presets
from compat.aihwkit.simulator.configs import helpers
from compat.aihwkit.simulator.parameters.quantization import ActivationQuantConfig
from compat.aihwkit.simulator.tiles.saved_config import as_data, of_data


def perfect(kind=c.InferenceRPUConfig):
    config = kind()
    config.forward.is_perfect = True
    return config


def network(config):
    return AnalogSequential(AnalogLinear(4, 3, rpu_config=config), AnalogLinear(3, 2, rpu_config=config))


@pytest.mark.parametrize("kind", [c.InferenceRPUConfig, c.TorchInferenceRPUConfig, c.SingleRPUConfig])
def test_weights_and_biases_stay_and_what_is_around_is_new(kind):
    model, x = network(perfect(kind)), torch.rand(5, 4)
    weights, exact = [layer.get_weights() for layer in model], model(x)
    config = perfect(kind)
    config.forward.is_perfect, config.forward.out_noise = False, 0.5
    config.pre_post.input_range.enable = True
    model.replace_rpu_config(config)
    for layer, (weight, bias) in zip(model, weights, strict=True):
        assert torch.equal(layer.get_weights()[0], weight) and torch.equal(layer.get_weights()[1], bias)
        assert layer.analog_module.rpu_config == config and layer.analog_module.rpu_config is not config
        assert layer.analog_module.input_range is not None
    assert not torch.allclose(model(x), exact)
    config.forward.is_perfect, config.pre_post.input_range.enable = True, False
    model.replace_rpu_config(config)
    assert torch.allclose(model(x), exact) and model[0].analog_module.input_range is None


def test_a_tile_learns_on_with_a_modifier_and_remapping_it_had_not():
    model = network(perfect())
    config = perfect()
    config.remap.type = c.WeightRemapType.CHANNELWISE_SYMMETRIC
    config.modifier.type, config.modifier.std_dev = c.WeightModifierType.ADD_NORMAL, 0.1
    before, tile = model[0].get_weights()[0], model[0].analog_module
    model.replace_rpu_config(config)
    tile.post_update_step()
    assert torch.allclose(model[0].get_weights()[0], before, atol=1e-6)
    assert torch.allclose(tile.shared_weights.detach().abs().max(1).values, torch.ones(3))
    assert tile._disturbed is not None


def test_what_does_not_fit_is_refused_and_nothing_changes():
    model = network(perfect(c.SingleRPUConfig))
    before = copy.deepcopy(model.state_dict())
    soft = c.SingleRPUConfig(device=c.SoftBoundsReferenceDevice())
    with pytest.raises(TileModuleError, match=r"SoftBoundsReference is another device.* than the ConstantStep"):
        model.replace_rpu_config(soft)
    with pytest.raises(TileModuleError, match="InferenceRPUConfig is another kind of configuration than SingleRPU"):
        model.replace_rpu_config(perfect())
    cut = perfect(c.SingleRPUConfig)
    cut.mapping.max_input_size = 2
    with pytest.raises(TileModuleError, match=r"mapping\.max_input_size is 2, and 512 here"):
        model.replace_rpu_config(cut)
    for name, value in model.state_dict().items():
        assert str(value) == str(before[name])


def test_a_checkpoint_brings_its_configuration_where_it_is_asked_for():
    config = perfect()
    config.noise_model = PCMLikeNoiseModel(g_max=40.0, prog_noise_scale=0.5)
    config.clip.type, config.clip.fixed_value = c.WeightClipType.FIXED_VALUE, 0.5
    model, file = network(config), io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    other = network(c.InferenceRPUConfig())
    other.load_state_dict(copy.deepcopy(state))
    assert other[0].analog_module.rpu_config == c.InferenceRPUConfig()
    other.load_state_dict(state, load_rpu_config=True)
    assert other[1].analog_module.rpu_config == config
    assert torch.equal(other[0].get_weights()[0], model[0].get_weights()[0])
    # the configuration of a torch tile is one for inference as well
    kind = network(perfect(c.TorchInferenceRPUConfig))
    other.load_state_dict(kind.state_dict(), load_rpu_config=True)
    assert type(other[0].analog_module.rpu_config) is c.TorchInferenceRPUConfig


def test_a_configuration_of_users_classes_does_not_travel():
    class Mine(PCMLikeNoiseModel):
        pass

    config = c.InferenceRPUConfig(noise_model=Mine())
    model = network(config)
    assert as_data(config) is None
    with pytest.raises(TileModuleError, match=r"no configuration for 0\.analog_module"):
        network(config).load_state_dict(model.state_dict(), load_rpu_config=True)
    for name in ("os:system", "compat.aihwkit.nn.conversion:convert_to_analog", "compat.aihwkit.exceptions:TileError"):
        with pytest.raises(TileModuleError, match="which is no part of one"):
            of_data({"class": name, "fields": {}})


EVERY = [
    c.InferenceRPUConfig(), c.TorchInferenceRPUConfigIRDropT(), c.QuantizedTorchInferenceRPUConfig(),
    presets.TikiTakaEcRamPreset(), presets.ReRamESPreset(), helpers.build_config("agad", c.SoftBoundsReferenceDevice()),
    c.QuantizedTorchInferenceRPUConfig(act_quant_config=ActivationQuantConfig(4)),
]  # fmt: skip


@pytest.mark.parametrize("config", EVERY, ids=lambda config: type(config).__name__)
def test_every_configuration_is_written_and_read(config):
    again = of_data(as_data(config))
    assert type(again) is type(config) and again == config and str(again) == str(config)
    assert again.to_native(4) == config.to_native(4)
