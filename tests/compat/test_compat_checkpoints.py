"""Checkpoints that the real aihwkit 1.2.0 wrote, with the answers of its models, both in aihwkit_checkpoints.json."""

import json
import pickletools
import zipfile
from pathlib import Path

import pytest
import torch

import compat
from compat.aihwkit.exceptions import TileModuleError
from compat.aihwkit.nn import AnalogConv2dMapped, AnalogLinear, AnalogLinearMapped, AnalogSequential
from compat.aihwkit.optim import AnalogSGD
from compat.aihwkit.simulator.configs import (
    InferenceRPUConfig,
    IOParameters,
    MappingParameter,
    QuantizedTorchInferenceRPUConfig,
    SingleRPUConfig,
    SoftBoundsDevice,
    TorchInferenceRPUConfig,
    TransferCompound,
    UnitCellRPUConfig,
)
from compat.aihwkit.simulator.parameters.quantization import ActivationQuantConfig
from compat.aihwkit.simulator.tiles.custom import CustomRPUConfig
from compat.aihwkit.simulator.tiles.saved_config import as_data, of_data

FOUND = json.loads((Path(__file__).parent / "aihwkit_checkpoints.json").read_text())


def tensors(value):
    if isinstance(value, dict) and set(value) == {"shape", "values"}:
        return torch.tensor(value["values"]).reshape(value["shape"])
    return {name: tensors(one) for name, one in value.items()} if isinstance(value, dict) else value


def tiki(**mapping):
    device = TransferCompound(unit_cell_devices=[SoftBoundsDevice(), SoftBoundsDevice()], gamma=0.1)
    return UnitCellRPUConfig(device=device, mapping=MappingParameter(**mapping))


def with_ranges(**mapping):
    made = InferenceRPUConfig(mapping=MappingParameter(learn_out_scaling=True, out_scaling_columnwise=True, **mapping))
    made.pre_post.input_range.enable, made.pre_post.input_range.init_from_data = True, 2
    return made


def rounded(**mapping):
    made = QuantizedTorchInferenceRPUConfig(mapping=MappingParameter(weight_scaling_columnwise=True, **mapping))
    made.act_quant_config, made.pre_post.periph_quant.n_bits = ActivationQuantConfig(6), 6
    return made


def config(kind):
    scaled, cut = {"weight_scaling_omega": 0.7}, {"max_input_size": 5, "max_output_size": 2}
    cut["weight_scaling_omega"] = 0.6
    made = {
        "single": lambda: SingleRPUConfig(device=SoftBoundsDevice()),
        "inf": lambda: InferenceRPUConfig(mapping=MappingParameter(weight_scaling_columnwise=True, **scaled)),
        "torch": lambda: TorchInferenceRPUConfig(mapping=MappingParameter(learn_out_scaling=True, **scaled)),
        "array": lambda: InferenceRPUConfig(mapping=MappingParameter(**cut)),
        "tiki": tiki,
        "cut tiki": lambda: tiki(**cut),
        "cut with ranges": lambda: with_ranges(**cut),
        "cut and rounded": lambda: rounded(**cut),
        "mapped": lambda: SingleRPUConfig(
            device=SoftBoundsDevice(), mapping=MappingParameter(digital_bias=False, **cut)
        ),
        "mapped convolution": lambda: TorchInferenceRPUConfig(mapping=MappingParameter(**cut)),
    }[kind]()
    made.forward = IOParameters(is_perfect=True)
    return made


def model(kind):
    if kind == "mapped convolution":
        return AnalogSequential(AnalogConv2dMapped(2, 3, 2, rpu_config=config(kind))).eval()
    layer = AnalogLinearMapped if kind == "mapped" else AnalogLinear
    return AnalogSequential(layer(8, 3, rpu_config=config(kind))).eval()


def inputs(kind, x=None):
    """`[4, 8]`, or the same as images."""
    x = tensors(FOUND["x"]) if x is None else x
    return x.reshape(4, 2, 2, 2) if kind == "mapped convolution" else x


@pytest.mark.parametrize("kind", list(FOUND["kinds"]))
def test_a_model_answers_as_the_one_that_was_saved(kind):
    ours, saved = model(kind), tensors(FOUND["kinds"][kind])
    ours.load_state_dict(saved["state"])
    torch.testing.assert_close(ours(inputs(kind)), saved["y"], rtol=1e-5, atol=1e-6)
    again = model(kind)  # and from then on it is a model of ours
    again.load_state_dict(ours.state_dict())
    torch.testing.assert_close(again(inputs(kind)), saved["y"], rtol=1e-5, atol=1e-6)


def test_constants_of_devices_are_taken():
    ours, state = model("single"), tensors(FOUND["kinds"]["single"]["state"])
    ours.load_state_dict(state)
    theirs = state["0.analog_module.analog_tile_state"]
    found = next(ours.analog_tiles()).get_hidden_parameters()
    assert list(found) == theirs["analog_tile_hidden_parameter_names"]
    torch.testing.assert_close(torch.stack(list(found.values())), theirs["analog_tile_hidden_parameters"])


def test_what_does_not_fit_is_told_and_drifted_weights_too():
    state = tensors(FOUND["kinds"]["array"]["state"])
    with pytest.raises(RuntimeError, match=r'Missing key.*"0\.analog_module\.analog_tile_state"'):
        model("inf").load_state_dict(state)
    with pytest.raises(RuntimeError, match="its devices have"):
        model("single").load_state_dict(tensors(FOUND["kinds"]["inf"]["state"]))
    state = tensors(FOUND["kinds"]["inf"]["state"])
    state["0.analog_module.alpha"] = torch.tensor([1.5])
    with pytest.raises(RuntimeError, match="had drifted"):
        model("inf").load_state_dict(state)


def test_each_chip_takes_what_is_its_own():
    state = tensors(FOUND["kinds"]["array"]["state"])
    made = config("array")
    made.pre_post.input_range.enable = made.mapping.learn_out_scaling = True
    ours = AnalogSequential(AnalogLinear(8, 3, rpu_config=made)).eval()
    places = ["0.0", "0.1", "1.0", "1.1"]
    for n, place in enumerate(places):
        own = {"input_range": n + 1.0, "input_range_update_idx": 1.0, "out_scaling_alpha": n + 2.0}
        state |= {f"0.analog_module.array.{place}.{name}": torch.full((1,), value) for name, value in own.items()}
    ours.load_state_dict(state)
    assert [tile.input_range.item() for tile in ours.analog_tiles()] == [1, 2, 3, 4]
    assert [tile.out_scaling_alpha.item() for tile in ours.analog_tiles()] == [2, 3, 4, 5]


def test_a_matrix_that_compat_0_1_0_saved_as_one_tile_is_told():
    state = model("inf").state_dict()
    with pytest.raises(RuntimeError, match=r"is one tile in the checkpoint, and 4 in the model.*compat 0\.1\.0"):
        model("array").load_state_dict(state)


@pytest.mark.parametrize(
    ("kind", "place", "names"),
    [
        ("inf", "inference", "InferenceTileArray"),
        ("torch", "inference_torch", "TorchInferenceTileArray"),
        ("cut and rounded", "quantized_inference_torch", "QuantizedTileModuleArray"),
    ],
)
def test_configurations_that_compat_0_1_0_saved_name_the_classes_of_arrays_of_then(kind, place, names):
    made = config(kind)
    data = as_data(made)
    data["fields"]["tile_array_class"] = {"type": f"compat.aihwkit.simulator.tiles.{place}:{names}"}
    assert of_data(data) == made
    data["fields"]["tile_array_class"] = {"type": "compat.aihwkit.simulator.tiles.gone:TileGrid"}
    with pytest.raises(TileModuleError, match="TileGrid', which is no part of one"):
        of_data(data)


def test_a_checkpoint_of_neither_kind_is_told():
    state = model("inf").state_dict()
    state["0.analog_module.analog_tile_state"] = {"some": "thing"}
    with pytest.raises(RuntimeError, match="no tile state"):
        model("inf").load_state_dict(state)


def trained(kind):
    torch.manual_seed(5)
    ours = model(kind).train()
    optimizer = AnalogSGD(ours.parameters(), lr=0.1)
    optimizer.regroup_param_groups(ours)
    for _ in range(3):
        optimizer.zero_grad()
        ours(inputs(kind, torch.randn(4, 8))).square().mean().backward()
        optimizer.step()
    return ours.eval()


SLOW = ("cut tiki", "mapped")  # steps of several shapes are compiled


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] if kind in SLOW else []) for kind in FOUND["kinds"]]
)
def test_what_is_written_for_aihwkit_is_as_it_writes_it(kind, tmp_path):
    """The same names and shapes as in its own file, and the answers survive the way there and back."""
    ours = trained(kind)
    compat.save_for_aihwkit(ours, tmp_path / "model.pt")
    written = torch.load(tmp_path / "model.pt", weights_only=False)
    theirs = tensors(FOUND["kinds"][kind]["state"])
    assert set(written) == set(theirs)
    for name, value in theirs.items():
        if not isinstance(value, dict):
            assert written[name].shape == value.shape
            continue
        assert set(value) - {"shared_weights"} <= set(written[name]) | {"out_scaling_alpha", "rpu_config"}
        for key in ("analog_tile_weights", "analog_tile_hidden_parameters"):
            assert key not in value or written[name][key].shape == value[key].shape
        assert written[name]["analog_tile_hidden_parameter_names"] == value["analog_tile_hidden_parameter_names"]
    again = model(kind)
    again.load_state_dict(written)
    torch.testing.assert_close(again(inputs(kind)), ours(inputs(kind)), rtol=1e-5, atol=1e-6)


def test_the_file_names_no_class_of_ours(tmp_path):
    """aihwkit can't import them; and each name is that of a module which it has."""
    places = set()
    for kind in FOUND["kinds"]:
        compat.save_for_aihwkit(model(kind), tmp_path / "model.pt")
        with zipfile.ZipFile(tmp_path / "model.pt") as file:
            content = file.read(next(name for name in file.namelist() if name.endswith("data.pkl")))
        words = {argument for _, argument, _ in pickletools.genops(content) if isinstance(argument, str)}
        assert not [word for word in words if "compat" in word or "analogjax" in word]
        places |= {word for word in words if word.startswith("aihwkit.")}
    assert places == {
        f"aihwkit.{name}"
        for name in (
            "inference.compensation.drift", "inference.converter.conductance", "inference.noise.pcm",
            "simulator.configs.compounds", "simulator.configs.configs", "simulator.configs.devices",
            "simulator.digital_low_precision.config_utils", "simulator.digital_low_precision.range_estimators",
            "simulator.parameters.quantization", "simulator.tiles.quantized_inference_torch",
            "simulator.parameters.enums", "simulator.parameters.inference", "simulator.parameters.io",
            "simulator.parameters.mapping", "simulator.parameters.pre_post", "simulator.parameters.runtime",
            "simulator.parameters.training", "simulator.tiles.analog", "simulator.tiles.array",
            "simulator.tiles.inference", "simulator.tiles.inference_torch", "simulator.tiles.torch_tile",
        )
    }  # fmt: skip


def test_tiles_of_torch_code_are_not_written(tmp_path):
    layer = AnalogLinear(8, 3, rpu_config=CustomRPUConfig())
    with pytest.raises(TileModuleError, match=r"0\.analog_module: a CustomTile"):
        compat.save_for_aihwkit(AnalogSequential(layer), tmp_path / "model.pt")
    assert not (tmp_path / "model.pt").exists()


def test_digital_layers_are_written_as_they_are(tmp_path):
    ours = AnalogSequential(
        torch.nn.Linear(8, 8), torch.nn.BatchNorm1d(8), AnalogLinear(8, 3, rpu_config=config("inf"))
    )
    ours(torch.randn(6, 8))
    compat.save_for_aihwkit(ours, tmp_path / "model.pt")
    written = torch.load(tmp_path / "model.pt", weights_only=False)
    for name, value in ours.state_dict().items():
        if name[0] in "01":
            assert torch.equal(written[name], value)
    assert "1.running_mean" in written and float(written["1.num_batches_tracked"]) == 1


def test_a_save_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    file, layer = tmp_path / "model.pt", AnalogLinear(2, 2)
    compat.save_for_aihwkit(AnalogSequential(layer), file)
    before = file.read_bytes()

    def full(state, target, **_):
        target.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        compat.save_for_aihwkit(AnalogSequential(layer), str(file))
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]
