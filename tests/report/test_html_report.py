"""A run as one HTML file: everything is in it, nothing outside is needed, and text of a user stays text."""

import json
from html.parser import HTMLParser

import jax
import numpy as np
import pytest

from analogjax import AnalogLinear, BasicTraining, Digits, LocalRunner, Sequential
from analogjax.cli import main
from analogjax.experiments.feed import Whole
from analogjax.experiments.loop import Program
from analogjax.experiments.tile_record import expected_pulses, tile_record, weights_of
from analogjax.nn import flatten
from analogjax.physics import ConstantStep, Pulses
from analogjax.report.html_report import html_report
from analogjax.store.runs import RunRecord, read_run
from analogjax.tile import Mapping, TileConfig
from tests.report.run_samples import recorded


class Page(HTMLParser):
    """The text of a page, its tags, and what it refers to."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.tags, self.refers = [], "", [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        given = dict(attributes)
        self.refers += [v for k, v in given.items() if k in ("src", "href") and not v.startswith(("#", "data:"))]

    def handle_data(self, data):
        self.text += data


def training(**config):
    model = Sequential(flatten, AnalogLinear(10, TileConfig(**config)), jax.nn.log_softmax)
    return BasicTraining(Digits, model, batch_size=16, epochs=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "a"
    LocalRunner().run(training(), 64, stdout=False, record=folder)
    return read_run(folder)


def test_everything_is_in_the_page(run):
    page = Page(html_report(run, {"layers_1/tile": 0.25}))
    assert page.refers == [] and "script" not in page.tags and page.tags.count("svg") == 4
    for word in ("completed", "layers_1/tile", "10 x 64", "0.25", "ConstantStep", "Digits", "jaxlib", "pip install"):
        assert word in page.text, word


def test_the_same_run_gives_the_same_page(run):
    assert html_report(run) == html_report(run)


def test_text_of_a_user_stays_text(tmp_path):
    record = RunRecord.begin(tmp_path / "b", config={"dataset": "<script>alert(1)</script>", "epochs": 1}, seed=0)
    record.finish("failed", "lost <b>it</b>")
    page = Page(html_report(read_run(tmp_path / "b")))
    assert "script" not in page.tags and "b" not in set(page.tags) - {"b"} and "alert(1)" in page.text
    assert "lost <b>it</b>" in page.text and "No epoch has ended" in page.text


def test_a_run_without_tiles_or_accuracy_has_a_page(tmp_path):
    record, _ = recorded(tmp_path / "c")
    record.epoch({"epoch": 3, "train_loss": float("nan"), "own": 2.0})
    assert "own" in Page(html_report(read_run(record.location))).text


def test_the_record_of_tiles_is_what_training_did(run):
    (tile,) = json.loads(run.location.read("tiles.json"))
    assert tile["shape"] == [10, 64] and sum(tile["weights"]["counts"]) == 640 == sum(tile["moved"]["counts"])
    assert 0 <= tile["saturated"] < 0.05


def test_devices_at_the_end_of_their_range_are_counted():
    experiment = training(device=ConstantStep(w_max=0.05, w_min=-0.05, w_max_dtod=0.0, w_min_dtod=0.0))
    found = LocalRunner().run(experiment, 64, stdout=False, seed=1)
    weights = weights_of(found.variables)["layers_1/tile"]
    (tile,) = tile_record(None, found.variables)
    assert tile["saturated"] == pytest.approx(np.mean(np.abs(weights) >= 0.049)) and tile["saturated"] > 0.1
    assert tile["moved"] is None


def test_expected_pulses_agree_with_the_mean_count():
    """With trains long enough not to saturate, `E[pulses] = lr |x_j d_i| / dw_min`."""
    update = Pulses(desired_bl=31, update_management=True, update_bl_management=True)
    mapping = Mapping(weight_scaling_omega=0.0)
    experiment = training(device=ConstantStep(dw_min=0.001), update=update, mapping=mapping)
    small = BasicTraining(Digits, experiment.model, batch_size=16, epochs=0, learning_rate=0.001)
    found = LocalRunner().run(small, 64, stdout=False)
    data = Whole(Digits, 64, None, 16, jax.devices()[0], jax.random.key(0)).example
    program = Program.of(small)
    once = expected_pulses(program, found.variables, data, jax.random.key(1))["layers_1/tile"]
    double = BasicTraining(Digits, experiment.model, batch_size=16, epochs=0, learning_rate=0.002)
    twice = expected_pulses(Program.of(double), found.variables, data, jax.random.key(1))["layers_1/tile"]
    assert 0 < once < 1 and twice == pytest.approx(2 * once, rel=1e-3)


def test_the_command_writes_a_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["--dataset", "Digits", "--layers", "", "--epochs", "1", "--batch-size", "32", "--max-elements", "96"]
    assert main(["train", *small, "--run", "runs/a"]) == 0
    assert main(["report", "a", "-o", "a.html", "--chips", "2"]) == 0
    page = Page((tmp_path / "a.html").read_text())
    assert "On programmed chips" in page.text and "Devices" in page.text and page.refers == []
    capsys.readouterr()
    for asked, words in [
        (["none"], "There is no run"),
        (["a", "--chips", "x"], "--chips x"),
        (["a", "-o", "no/such/a.html"], "a folder that exists"),
        (["a", "-o", "runs"], "can't be written"),
    ]:
        assert main(["report", *asked]) != 0
        assert words in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "runs"]


def test_the_page_of_a_run_of_ones_own_model(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", run.location.url]) == 0
    assert "Pulses are shown for runs of" in Page((tmp_path / "report.html").read_text()).text
    assert main(["report", run.location.url, "--chips", "1"]) == 2
    assert "not recorded by `analogjax train`" in capsys.readouterr().err
