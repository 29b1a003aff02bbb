"""Files of conductances: what is exported comes back, faded rows are found again, other files are refused."""

import csv

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import AnalogLinear, Sequential, TileConfig, nn, random
from analogjax.errors import ShapeError
from analogjax.experiments import ConductanceFileError, export_conductances, import_conductances
from analogjax.physics import Fusion, Ideal, SinglePair
from analogjax.tile import Mapping, create
from tests.tolerance import assert_close, assert_same_bits

PLAIN = TileConfig(device=Ideal())
CUT = TileConfig(device=Ideal(), mapping=Mapping(max_input_size=3, max_output_size=2, weight_scaling_omega=0.5))


def tiles(seed=0):
    model = Sequential(AnalogLinear(5, CUT), AnalogLinear(2, PLAIN))
    return nn.init(model, jnp.ones((1, 4)), random.key(seed)).tiles


def lines(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("converter", [Fusion(), SinglePair(g_max=10.0, g_min=1.0)])
def test_what_is_exported_comes_back(tmp_path, converter):
    path, given = tmp_path / "chips.csv", tiles()
    export_conductances(path, given, converter)
    back = import_conductances(path, given, converter)
    assert jax.tree.structure(back) == jax.tree.structure(given)
    for ours, theirs in zip(jax.tree.leaves(back), jax.tree.leaves(given), strict=True):
        if not jnp.issubdtype(ours.dtype, jax.dtypes.prng_key):
            assert_close(ours, theirs, factor=8)
    number, kind, weights, rows, columns, names, *conductances = lines(path)
    assert (number, kind, weights, rows, columns) == (
        ["1", "2"], ["TileArray", "Tile"], ["20", "10"], ["5", "2"], ["4", "5"],
    )  # fmt: skip
    slices = 1 if isinstance(converter, Fusion) else 2
    assert len(names) == 2 and [len(row) for row in conductances] == [20 * slices, 10 * slices]


def test_rows_that_have_faded_are_found_again(tmp_path):
    path, given = tmp_path / "chips.csv", create(PLAIN, (3, 4), random.key(1))
    export_conductances(path, given, Fusion())
    *head, row = lines(path)
    faded = np.array(row, float).reshape(3, 4) * np.array([[0.5], [0.9], [0.7]])
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([*head, faded.ravel()])
    assert_close(import_conductances(path, given, Fusion()).read(), given.read(), factor=8)


def test_files_of_something_else_are_refused_and_change_nothing(tmp_path):
    path, given = tmp_path / "chips.csv", tiles()
    export_conductances(path, given, Fusion())
    before = path.read_bytes()
    with pytest.raises(ConductanceFileError, match="has 20 conductances; SinglePair has 40"):
        import_conductances(path, given, SinglePair())
    with pytest.raises(
        ConductanceFileError, match=r"number of its matrices are \['1', '2'\], and of the model \['1'\]"
    ):
        import_conductances(path, create(PLAIN, (5, 4), random.key(0)), Fusion())
    path.write_bytes(before[:-20])
    with pytest.raises(ConductanceFileError, match=r"has .* conductances|does not have a line|the line of"):
        import_conductances(path, given, Fusion())
    path.write_text(before.decode().replace("40.0", "nan", 1))
    with pytest.raises(ConductanceFileError, match="not finite"):
        import_conductances(path, given, Fusion())
    path.write_text(before.decode().replace("40.0", "forty", 1))
    with pytest.raises(ConductanceFileError, match=r"the line of .*forty"):
        import_conductances(path, given, Fusion())
    with pytest.raises(ConductanceFileError, match="can't be read"):
        import_conductances(tmp_path / "absent.csv", given, Fusion())
    with pytest.raises(ShapeError, match="stack"):
        stack = jax.vmap(lambda key: create(PLAIN, (2, 3), key))(jax.random.split(random.key(0), 2))
        export_conductances(path, stack, Fusion())


def test_a_file_is_whole_or_as_before(tmp_path, monkeypatch):
    path, given = tmp_path / "chips.csv", tiles()
    export_conductances(path, given, Fusion())
    before = path.read_bytes()
    monkeypatch.setattr("analogjax.store.files.os.fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        export_conductances(path, tiles(1), Fusion())
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["chips.csv"]
    assert_same_bits(tiles(), given)
