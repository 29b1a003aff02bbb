"""The stand-in for torchvision: sizes and names of networks are torchvision's, whose counts of parameters are known."""

import http.server
import importlib
import io
import sys
import threading

import numpy as np
import pytest
import torch
from aihwkit.nn import AnalogConv2d, AnalogLinear
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.simulator.configs import FloatingPointRPUConfig

from compat.alias import Alias
from compat.torchvision import models, transforms, utils
from compat.torchvision.datasets.utils import check_integrity, download_url


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (models.resnet18, 11_689_512), (models.resnet34, 21_797_672), (models.resnet50, 25_557_032),
        (models.alexnet, 61_100_840),
    ],
)  # fmt: skip
def test_as_many_parameters(make, parameters):
    with torch.device("meta"):
        assert sum(one.numel() for one in make().parameters()) == parameters


def test_names_and_places():
    names = models.resnet18(num_classes=3).state_dict()
    assert names["layer2.0.downsample.0.weight"].shape == (128, 64, 1, 1) and names["fc.bias"].shape == (3,)
    assert names["layer4.1.bn2.running_var"].shape == (512,) and "layer1.0.downsample.0.weight" not in names
    assert models.resnet18(num_classes=3).eval()(torch.zeros(2, 3, 33, 40)).shape == (2, 3)
    assert models.alexnet(num_classes=2).eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 2)


@pytest.mark.slow
def test_a_converted_network_computes_the_same():
    torch.manual_seed(1)
    model = models.ResNet(models.BasicBlock, [1, 1], num_classes=4)
    model.layer3 = model.layer4 = torch.nn.Identity()
    model.fc = torch.nn.Linear(128, 4)
    analog = convert_to_analog(model.eval(), FloatingPointRPUConfig())
    assert isinstance(analog.layer2[0].downsample[0], AnalogConv2d) and isinstance(analog.fc, AnalogLinear)
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(analog(x), model(x), rtol=1e-3, atol=1e-4)


def test_trained_weights_are_refused():
    with pytest.raises(ValueError, match=r"resnet50\(weights='DEFAULT'\).*Install torchvision"):
        models.resnet50(weights="DEFAULT")


class TestTransforms:
    def test_a_flip_changes_left_and_right(self):
        image = np.arange(6, dtype=np.uint8).reshape(2, 3)
        assert np.array_equal(transforms.RandomHorizontalFlip(1.0)(image), image[:, ::-1])
        assert transforms.RandomHorizontalFlip(0.0)(image) is image
        tensor = torch.arange(12.0).reshape(2, 2, 3)
        assert torch.equal(transforms.RandomHorizontalFlip(1.0)(tensor), tensor.flip(2))
        flips = [np.array_equal(transforms.RandomHorizontalFlip()(image), image) for _ in range(200)]
        assert 60 < sum(flips) < 140  # 5.6 standard errors of 7.07

    def test_a_crop_is_a_part_of_the_padded_image(self):
        image, crop = np.arange(1, 13, dtype=np.uint8).reshape(3, 4), transforms.RandomCrop(3, padding=1)
        padded, seen = np.pad(image, 1), set()
        for _ in range(100):
            part = crop(image)
            places = [(r, c) for r in range(3) for c in range(4) if np.array_equal(padded[r : r + 3, c : c + 3], part)]
            assert len(places) == 1
            seen.update(places)
        assert len(seen) == 12  # each place: a miss of one has a probability of 2e-3
        assert crop(torch.ones(3, 5, 5)).shape == (3, 3, 3)
        with pytest.raises(ValueError, match=r"RandomCrop\(\(9, 9\)\): the image has \(3, 4\) pixels"):
            transforms.RandomCrop(9)(image)

    def test_the_middle_is_cut_out(self):
        image = np.arange(20, dtype=np.uint8).reshape(4, 5)
        assert np.array_equal(transforms.CenterCrop((2, 3))(image), image[1:3, 1:4])
        assert np.array_equal(transforms.CenterCrop((6, 3))(image), np.pad(image[:, 1:4], ((1, 1), (0, 0))))
        assert torch.equal(transforms.CenterCrop(2)(torch.ones(3, 4, 4)), torch.ones(3, 2, 2))

    def test_sizes(self):
        picture = pytest.importorskip("PIL.Image").fromarray(np.full((8, 12, 3), 7, np.uint8))
        assert transforms.Resize(4)(picture).size == (6, 4) and transforms.Resize((4, 5))(picture).size == (5, 4)
        assert np.asarray(transforms.Resize(4)(picture)).max() == 7
        tensor = torch.arange(8.0).expand(1, 12, 8)
        assert transforms.Resize(4)(tensor).shape == (1, 6, 4) and transforms.Resize([4])(tensor).shape == (1, 6, 4)
        small = transforms.Resize((2, 4))(tensor)
        torch.testing.assert_close(small.mean(), tensor.mean())  # an average stays one
        assert transforms.Resize(4)(torch.full((1, 6, 6), 7, dtype=torch.uint8)).dtype == torch.uint8

    def test_pictures_stay_pictures(self):
        image = pytest.importorskip("PIL.Image").fromarray(np.zeros((4, 5, 3), np.uint8))
        both = transforms.Compose([transforms.RandomCrop((4, 4), padding=2), transforms.RandomHorizontalFlip(1.0)])
        assert type(both(image)) is type(image) and both(image).size == (4, 4)


class TestGrids:
    def test_places_and_padding(self):
        images = torch.arange(1.0, 6.0).reshape(5, 1, 1, 1).expand(5, 3, 2, 1)
        grid = utils.make_grid(images, nrow=3, padding=1, pad_value=9.0)
        one = [[9, 9, 9, 9, 9, 9, 9], [9, 1, 9, 2, 9, 3, 9], [9, 1, 9, 2, 9, 3, 9], [9, 9, 9, 9, 9, 9, 9],
               [9, 4, 9, 5, 9, 9, 9], [9, 4, 9, 5, 9, 9, 9], [9, 9, 9, 9, 9, 9, 9]]  # fmt: skip
        assert torch.equal(grid, torch.tensor(one, dtype=torch.float32).expand(3, -1, -1))
        assert torch.equal(utils.make_grid(list(images), 3, 1, pad_value=9.0), grid)

    def test_one_image_stays_as_it_is_and_one_channel_becomes_three(self):
        image = torch.rand(3, 4, 5)
        assert torch.equal(utils.make_grid(image), image)
        assert utils.make_grid(torch.rand(4, 5)).shape == (3, 4, 5)
        assert utils.make_grid(torch.rand(2, 1, 4, 5), padding=0).shape == (3, 4, 10)

    @pytest.mark.parametrize(("given", "last"), [({}, 0.5), ({"scale_each": True}, 1.0), ({"value_range": (1, 3)}, 0)])
    def test_scaling(self, given, last):
        images = torch.tensor([[1.0, 3.0], [-1.0, 1.0]]).reshape(2, 1, 1, 2)
        grid = utils.make_grid(images, padding=0, normalize=True, **given)
        assert grid[0, 0, -1] == last and images.min() == -1

    def test_pictures_are_rounded(self):
        picture = pytest.importorskip("PIL.Image")
        file = io.BytesIO()
        utils.save_image(torch.tensor([-1.0, 0.5, 0.499, 2.0]).reshape(1, 1, 1, 4), file, format="png")
        assert np.asarray(picture.open(file))[..., 0].tolist() == [[0, 128, 127, 255]]

    @pytest.mark.parametrize("given", [[1, 2], np.zeros((2, 1, 2, 2)), torch.zeros(5)])
    def test_what_is_no_image_is_said(self, given):
        with pytest.raises(TypeError, match="make_grid: "):
            utils.make_grid(given)


@pytest.fixture
def address():
    class Served(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"chips")

        def log_message(self, *given):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Served) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class TestDownloads:
    def test_the_file_has_the_name_of_the_address_and_comes_once(self, address, tmp_path):
        download_url(f"{address}/net.th?version=2", tmp_path / "new")
        file = tmp_path / "new" / "net.th"
        assert file.read_bytes() == b"chips"
        file.write_bytes(b"mine")
        download_url(f"{address}/net.th", tmp_path / "new")
        assert file.read_bytes() == b"mine"

    def test_a_checksum_is_kept_to(self, address, tmp_path):
        right = "2544f5aa7c2b63a9ff3d1bfd2c3c6e9f"
        with pytest.raises(Exception, match="have the MD5"):
            download_url(address + "/a", tmp_path, "b", right)
        assert not (tmp_path / "b").exists() and not check_integrity(tmp_path / "b")
        (tmp_path / "b").write_bytes(b"mine")
        with pytest.raises(ValueError, match=r"b is there, but does not have the MD5 2544.*Move it away"):
            download_url(address + "/a", tmp_path, "b", right)
        assert (tmp_path / "b").read_bytes() == b"mine"


def test_what_the_stand_in_lacks_is_said(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [Alias("torchvision"), *sys.meta_path])
    for loaded in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, loaded)
    try:
        assert importlib.import_module("torchvision.datasets.utils").download_url is download_url
        with pytest.raises(ImportError, match=r"transforms.GaussianBlur is not in .* pip install torchvision"):
            from torchvision.transforms import GaussianBlur  # noqa: F401
        with pytest.raises(ModuleNotFoundError, match=r"torchvision.ops is not in .* pip install torchvision"):
            importlib.import_module("torchvision.ops")
    finally:
        for loaded in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[loaded]
