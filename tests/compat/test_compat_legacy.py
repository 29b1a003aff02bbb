"""Checkpoints of before aihwkit 0.8, and files from the net; expected names are those that aihwkit 1.2.0 gives."""

import http.server
import threading
from collections import OrderedDict

import pytest
import requests
import torch
from aihwkit.experiments.experiments.inferencing import WEIGHT_TEMPLATE_URL, download
from aihwkit.nn import AnalogConv2dMapped, AnalogLinear, AnalogLinearMapped, AnalogSequential
from aihwkit.simulator.configs import InferenceRPUConfig
from aihwkit.utils.legacy import convert_legacy_checkpoint


def config(old=True):
    made = InferenceRPUConfig()
    made.mapping.digital_bias = True
    if old:
        for name in ("pre_post", "remap"):
            del vars(made)[name]
        modifier = vars(made.modifier)
        modifier.pop("coeffs", None)
        modifier.update(coeff0=0.1, coeff1=0.2, coeff2=0.3)
        vars(made.mapping)["weight_scaling_omega_columnwise"] = True
        vars(made.mapping)["learn_out_scaling_alpha"] = False
    return made


def state(weight, **more):
    outputs, inputs = weight.shape
    return {
        "rpu_config": config(), "out_size": outputs, "in_size": inputs, "bias": False, "analog_ctx": torch.zeros(1),
        "analog_tile_weights": weight, "analog_tile_hidden_parameters": torch.zeros(0), "analog_lr": 0.02,
        "analog_tile_hidden_parameter_names": [], "noise_model": None, "image_sizes": [], **more,
    }  # fmt: skip


def of_one_layer():
    return OrderedDict(
        [
            ("0.bias", torch.ones(3)), ("0.analog_ctx_0", torch.zeros(1)), ("0.analog_shared_weights_0", torch.ones(1)),
            ("0.analog_tile_state_0", state(torch.full((3, 4), 0.25), analog_alpha_scale=2.0)),
        ]
    )  # fmt: skip


def test_weights_of_then_are_those_of_now():
    model = AnalogSequential(AnalogLinear(4, 3, rpu_config=config(old=False)))
    old = of_one_layer()
    new, found = convert_legacy_checkpoint(old, model)
    assert list(old) == list(of_one_layer()) and "noise_model" in old["0.analog_tile_state_0"]
    keys = model.load_state_dict(new)
    assert (keys.missing_keys, keys.unexpected_keys) == ([], [])
    weight, bias = model[0].get_weights()
    assert torch.equal(weight, torch.full((3, 4), 0.5)) and torch.equal(bias, torch.ones(3))
    assert model[0].analog_module.get_learning_rate() == 0.02
    assert found.modifier.coeffs == [0.1, 0.2, 0.3] and found.mapping.weight_scaling_columnwise
    assert not found.mapping.learn_out_scaling and found.mapping.max_input_size == 0
    assert not found.pre_post.input_range.enable


def test_layers_that_are_cut_have_a_place_for_each_chip():
    model = AnalogSequential(
        AnalogLinearMapped(4, 3, rpu_config=config(False)), AnalogConv2dMapped(2, 2, 3, rpu_config=config(False))
    )
    old = of_one_layer() | {"0.analog_out_scaling_alpha_0": torch.ones(3), "other.bias": torch.ones(2)}
    old["1.bias"] = torch.ones(2)
    for chip in ("0_0", "0_1"):
        old[f"1.analog_ctx_{chip}"] = torch.zeros(1)
        old[f"1.analog_tile_state_{chip}"] = state(torch.ones(2, 9), mapping_scales=torch.tensor([0.5, 0.25]))
    new, found = convert_legacy_checkpoint(old, model)
    assert list(new) == [
        "0.analog_module.bias", "0.analog_module.analog_ctx", "0.analog_module.mapping_scales",
        "0.analog_module.analog_tile_state", "0.analog_module.array.0.0.out_scaling_alpha", "other.bias", "1.bias",
        "1.array.0.0.analog_ctx", "1.array.0.0.mapping_scales", "1.array.0.0.analog_tile_state",
        "1.array.0.1.analog_ctx", "1.array.0.1.mapping_scales", "1.array.0.1.analog_tile_state",
    ]  # fmt: skip
    assert new["1.array.0.1.mapping_scales"].tolist() == [0.5, 0.25]
    assert found.mapping.max_input_size == InferenceRPUConfig().mapping.max_input_size


def test_a_checkpoint_of_today_stays_as_it_is():
    given = {"0.analog_module.analog_tile_state": state(torch.ones(2, 2)), "0.analog_module.bias": torch.ones(2)}
    new, found = convert_legacy_checkpoint(given)
    assert list(new) == list(given) and isinstance(found, InferenceRPUConfig)
    with pytest.raises(ValueError, match=r"no analog_tile_state among \['weight'\]"):
        convert_legacy_checkpoint({"weight": torch.ones(1)})


class TestDownload:
    @pytest.fixture
    def url(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200 if self.path == "/there" else 404)
                self.end_headers()
                self.wfile.write(b"weights")

            def log_message(self, *args):
                """Nothing."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        server.server_close()

    def test_a_file_is_fetched_whole_or_not_at_all(self, url, tmp_path):
        place = tmp_path / "weights.pth"
        download(f"{url}/there", str(place))
        assert place.read_bytes() == b"weights"
        with pytest.raises(requests.HTTPError):
            download(f"{url}/gone", str(place))
        assert [path.name for path in tmp_path.iterdir()] == ["weights.pth"] and place.read_bytes() == b"weights"
        assert WEIGHT_TEMPLATE_URL.endswith("/")
