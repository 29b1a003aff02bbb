"""The Flax savers take any JAX pytree: chips, what is made of chips, and keys of every generator, in every place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from aitoolbox.experiment.experiment_saver import FullFlaxExperimentGoogleStorageSaver, FullFlaxExperimentS3Saver
from aitoolbox.experiment.local_experiment_saver import FullFlaxExperimentLocalSaver
from aitoolbox.experiment.local_save.local_model_save import FlaxLocalModelSaver

from analogjax import nn, random
from analogjax.physics import SoftBounds
from analogjax.physics.compounds import tiki_taka
from analogjax.tile import Signal, TileConfig, create, create_array, update
from compat.aitoolbox.store.errors import WrongModel


def chip(seed=0, shape=(2, 3), device=None):
    return create(TileConfig(device=device or SoftBounds()), shape, random.key(seed))


def layers():
    model = nn.Sequential(nn.AnalogLinear(3), nn.AnalogLinear(2))
    return nn.init(model, jnp.ones((1, 4)), random.key(3))


TREES = {
    "one chip": chip,
    "a list and a dictionary of chips": lambda: [chip(1), {"b": chip(2, (1, 1)), "a": (chip(3), None)}],
    "a unit cell": lambda: chip(4, device=tiki_taka(devices=(SoftBounds(), SoftBounds()))),
    "chips in one array": lambda: jax.vmap(lambda key: create(TileConfig(), (2, 2), key))(
        jax.random.split(random.key(5), 3)
    ),
    "a cut matrix": lambda: create_array(TileConfig(), (5, 4), random.key(6)),
    "layers": layers,
    "keys": lambda: {
        "ours": random.key(7),
        "split": jax.random.split(random.key(8), (2, 2)),
        "threefry": jax.random.key(9),
        "rbg": jax.random.key(10, impl="rbg"),
        "raw": jax.random.PRNGKey(11),
    },
}


def raw(leaf):
    is_key = jax.dtypes.issubdtype(getattr(leaf, "dtype", np.dtype(bool)), jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def assert_same_leaves(found, wanted):
    found, wanted = jax.tree.leaves(found), jax.tree.leaves(wanted)
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert getattr(one, "dtype", None) == getattr(other, "dtype", None)
        np.testing.assert_array_equal(raw(one), raw(other))


@pytest.fixture(params=["disk", "s3", "gs"])
def saver(request, tmp_path):
    if request.param == "disk":
        return FullFlaxExperimentLocalSaver("p", "e", str(tmp_path))
    server = request.getfixturevalue({"s3": "s3_server", "gs": "gcs_server"}[request.param])
    kind = {"s3": FullFlaxExperimentS3Saver, "gs": FullFlaxExperimentGoogleStorageSaver}[request.param]
    return kind("p", "e", server.bucket(), "", str(tmp_path), storage_options=server.options)


def test_every_tree_in_every_place(saver, package):
    tree = {name: make() for name, make in TREES.items()}
    saver.save_experiment(tree, package(), None, "1")
    again = saver.load_experiment(like=tree).model
    assert jax.tree.structure(again) == jax.tree.structure(tree)
    assert_same_leaves(again, tree)
    assert_same_leaves(saver.load_experiment().model, tree)  # dictionaries and lists, in the same order


@pytest.mark.parametrize("name", TREES)
def test_a_template_of_shapes_is_enough(tmp_path, name):
    tree, saver = TREES[name](), FlaxLocalModelSaver(str(tmp_path))
    _, path = saver.save_model(tree, "p", "e", "1")
    again = saver.read_model(path, like=jax.eval_shape(lambda: tree))
    assert_same_leaves(again, tree)


def test_a_chip_goes_on_as_if_it_had_not_been_saved(tmp_path):
    old, saver = chip(1), FlaxLocalModelSaver(str(tmp_path))
    _, path = saver.save_model({"chip": old, "key": random.key(2)}, "p", "e", "1")
    again = saver.read_model(path, like={"chip": chip(5), "key": random.key(6)})
    signal = Signal(jnp.ones((2, 3)), jnp.full((2, 2), 0.3))
    one, other = (update(it, signal, 0.1, key=key) for it, key in ((old, random.key(2)), (again["chip"], again["key"])))
    assert_same_leaves(one, other)


def test_another_chip_is_refused(tmp_path):
    saver = FlaxLocalModelSaver(str(tmp_path))
    _, path = saver.save_model([chip(1)], "p", "e", "1")
    with pytest.raises(WrongModel, match=r"float32\[2, 3\] in the checkpoint, float32\[2, 4\] in the model"):
        saver.read_model(path, like=[chip(1, (2, 4))])
    with pytest.raises(WrongModel, match="absent in the checkpoint"):
        saver.read_model(path, like=[chip(1), chip(2)])


class Odd:
    """A node of two children whose keys are one text, and that rebuilds itself from nothing but what it had."""

    def __init__(self, first, second):
        assert first is not None and second is not None
        self.first, self.second = first, second


jax.tree_util.register_pytree_with_keys(
    Odd,
    lambda node: (
        [(jax.tree_util.DictKey((1,)), node.first), (jax.tree_util.DictKey("(1,)"), node.second)],
        None,
    ),
    lambda _, children: Odd(*children),
)


def test_what_could_not_be_read_back_is_refused_before_anything_is_made(tmp_path):
    gone = jnp.ones(3)
    gone.delete()
    own = jax.extend.random.define_prng_impl(
        key_shape=(2,), seed=lambda seed: jnp.zeros(2, jnp.uint32), split=None, random_bits=None, fold_in=None,
        name="own", tag="own",
    )  # fmt: skip
    for tree, message in [
        ({"w": gone}, r"\['w'\] was deleted or donated"),
        ({"k": jax.random.wrap_key_data(jnp.zeros(2, jnp.uint32), impl=own)}, r"\['k'\] is of the generator 'own'"),
        (Odd(jnp.ones(1), jnp.zeros(1)), "same path"),
        ({"w": np.array(["text"])}, r"\['w'\] has dtype <U4"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            FlaxLocalModelSaver(str(tmp_path)).save_model(tree, "p", "e", "1")
    with pytest.raises(TypeError, match="outside of jit"):
        jax.jit(lambda w: FlaxLocalModelSaver(str(tmp_path)).save_model({"w": w}, "p", "e", "1") and w)(jnp.ones(1))
    assert not list(tmp_path.iterdir())


def test_big_endian_arrays_keep_their_values(tmp_path):
    saver = FlaxLocalModelSaver(str(tmp_path))
    _, path = saver.save_model({"w": np.arange(3, dtype=">f4")}, "p", "e", "1")
    np.testing.assert_array_equal(saver.read_model(path)["w"], [0, 1, 2])


def test_64_bits_are_not_cut_in_silence(tmp_path):
    saver = FlaxLocalModelSaver(str(tmp_path))
    _, path = saver.save_model({"w": np.array([2**40])}, "p", "e", "1")
    with jax.enable_x64(True):
        like = {"w": jax.ShapeDtypeStruct((1,), jnp.int64)}
    with pytest.raises(WrongModel, match="jax_enable_x64"):
        saver.read_model(path, like=like)
    assert saver.read_model(path)["w"] == [2**40]
