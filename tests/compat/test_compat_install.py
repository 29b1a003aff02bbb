"""The import hook: one set of modules under two names, and clear words about what is missing."""

import importlib
import os
import pickle
import subprocess
import sys
import types
from pathlib import Path

import pytest

import compat
from analogjax.errors import AnalogError, MissingPackage
from compat import known_names
from compat.alias import Alias


def test_modules_and_classes_are_the_same_objects_under_both_names():
    import aihwkit.nn.modules.linear
    import aihwkit.simulator.configs.devices as devices
    from aihwkit.nn import AnalogLinear

    import compat.aihwkit.nn.modules.linear
    import compat.aihwkit.simulator.configs.devices as ours

    assert devices is ours
    assert aihwkit.nn.modules.linear.AnalogLinear is AnalogLinear is compat.aihwkit.nn.modules.linear.AnalogLinear
    assert ours.__spec__.name == ours.__name__ == "compat.aihwkit.simulator.configs.devices"


def test_classes_pickle_and_import_again():
    from aihwkit.simulator.configs import SingleRPUConfig

    config = SingleRPUConfig()
    config.device.dw_min = 0.01
    again = pickle.loads(pickle.dumps(config))
    assert type(again) is SingleRPUConfig and again == config
    assert importlib.import_module("aihwkit.simulator.configs").SingleRPUConfig is SingleRPUConfig


@pytest.mark.parametrize("module", ["nn", "optim", "simulator.configs", "simulator.parameters.enums", "experiments",
                                    "simulator.configs.compounds", "simulator.configs.configs", "exceptions", "version",
                                    "experiments.runners", "nn.modules.container", "nn.modules.base", "nn.conversion",
                                    "simulator.tiles", "simulator.tiles.analog"])  # fmt: skip
def test_module_paths(module):
    assert importlib.import_module(f"aihwkit.{module}").__name__ == f"compat.aihwkit.{module}"


_EACH_FIRST = """
import importlib, sys
from pathlib import Path
import compat

compat.install(aitoolbox=False, torchvision=False)
root, wrong = Path(compat.__file__).parent, []
for path in sorted(root.glob("aihwkit/**/*.py")):
    for name in [name for name in sys.modules if name.startswith(("aihwkit", "compat.aihwkit"))]:
        del sys.modules[name]
    parts = path.relative_to(root).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    try:
        importlib.import_module(name)
    except ImportError as error:
        wrong.append(f"{name}: {error}")
print(*wrong, sep="; ")
"""


@pytest.mark.slow
def test_any_module_may_be_the_first_that_a_program_imports():
    """Packages bring their modules along, so an import may come back to a module that is only half there."""
    run = subprocess.run([sys.executable, "-c", _EACH_FIRST], capture_output=True, text=True)
    assert (run.returncode, run.stdout.strip()) == (0, ""), run.stdout + run.stderr


def test_version_and_cuda():
    import aihwkit
    from aihwkit.simulator.rpu_base import cuda

    assert aihwkit.__version__ == "1.2.0" and "analogjax" in aihwkit.backend
    assert cuda.is_compiled() is False


def test_what_we_lack_is_said():
    from aihwkit.simulator.digital_low_precision import quantizers

    with pytest.raises(ImportError, match=r"quantizers.floor_ste_func is not part of analogjax's compat yet"):
        from aihwkit.simulator.digital_low_precision.quantizers import floor_ste_func  # noqa: F401
    with pytest.raises(AttributeError, match=r"quantizers.round_ste_func is not part"):
        _ = quantizers.round_ste_func


def test_what_nobody_has_is_called_unknown():
    import aihwkit.nn
    from aihwkit.simulator.digital_low_precision import quantizers

    with pytest.raises(ImportError, match=r"aihwkit.nn has no name 'AnalogLineer', in aihwkit 1.2.0.*'AnalogLinear'\?"):
        from aihwkit.nn import AnalogLineer  # noqa: F401
    with pytest.raises(ImportError, match=r"has no name 'convert_to_analog_mapped'.*Did you mean 'convert_to_analog'"):
        from aihwkit.nn.conversion import convert_to_analog_mapped  # noqa: F401
    with pytest.raises(ModuleNotFoundError, match=r"aihwkit.nn has no name 'module'.*Did you mean 'modules'\?"):
        import aihwkit.nn.module
    with pytest.raises(ModuleNotFoundError, match=r"aihwkit has no name 'qwertz', in aihwkit 1.2.0 neither\.$"):
        import aihwkit.qwertz  # noqa: F401
    with pytest.raises(AttributeError, match=r"Did you mean 'floor_ste_func'"):  # which is to come
        _ = quantizers.floor_ste_fun


def test_lists_of_what_is_missing_are_up_to_date():
    for name in known_names.MODULES.split():
        with pytest.raises(ModuleNotFoundError, match="is not part of"):
            importlib.import_module(f"aihwkit.{name}")
    for place, names in known_names.MISSING.items():
        if place not in known_names.MODULES.split():
            module = importlib.import_module(f"compat.aihwkit.{place}")
            assert not [name for name in names.split() if name in vars(module)]


def test_names_at_the_further_places_where_aihwkit_serves_them():
    for place, names in known_names.ALSO_AT.items():
        module = importlib.import_module(f"aihwkit.{place}")
        for name in names.split():
            found = getattr(module, name)
            assert found.__name__ == name and found.__module__.startswith("compat.aihwkit."), (place, name)


def test_compounds_where_old_programs_look_for_them():
    from aihwkit.simulator import configs
    from aihwkit.simulator.configs import devices
    from aihwkit.simulator.configs.devices import OneSidedUnitCell, TransferCompound, VectorUnitCell

    assert (OneSidedUnitCell, TransferCompound) == (configs.OneSidedUnitCell, configs.TransferCompound)
    assert VectorUnitCell is configs.VectorUnitCell and "BufferedTransferCompound" in vars(devices)
    sys.modules.pop("compat.aihwkit.simulator.noise_models", None)
    sys.modules.pop("aihwkit.simulator.noise_models", None)
    with pytest.warns(FutureWarning, match=r"the old place of aihwkit\.inference"):
        from aihwkit.simulator.noise_models import PCMLikeNoiseModel
    from aihwkit.inference import PCMLikeNoiseModel as same

    assert PCMLikeNoiseModel is same


CONFIGS = (
    "DigitalRankUpdateRPUConfig", "FloatingPointRPUConfig", "InferenceRPUConfig", "QuantizedTorchInferenceRPUConfig",
    "SingleRPUConfig", "TorchInferenceRPUConfig", "TorchInferenceRPUConfigIRDropT", "UnitCellRPUConfig",
)  # fmt: skip


def test_every_configuration_of_aihwkit_is_there_by_both_of_its_paths():
    import aihwkit.simulator.configs as package
    from aihwkit.simulator.configs import configs

    assert all(getattr(package, name) is getattr(configs, name) for name in CONFIGS)


def test_an_older_path_of_the_parameters():
    from aihwkit.simulator import parameters
    from aihwkit.simulator.configs import utils

    shared = [name for name in vars(utils) if not name.startswith("_")]
    assert len(shared) == 19 and all(getattr(utils, name) is getattr(parameters, name) for name in shared)


def test_installing_again_changes_nothing():
    before = list(sys.meta_path)
    compat.install()
    compat.install(torchvision=False)
    assert sys.meta_path == before


def test_refuses_where_the_real_one_is_in_use(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [f for f in sys.meta_path if not isinstance(f, Alias)])
    monkeypatch.setitem(sys.modules, "aihwkit", types.ModuleType("aihwkit"))
    with pytest.raises(AnalogError, match="real aihwkit is already imported"):
        compat.install()


def test_a_broken_torchvision_leaves_nothing_behind(tmp_path, monkeypatch):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("import torchvision.half\nraise RuntimeError('no operator')")
    (tmp_path / "torchvision" / "half.py").write_text("")
    monkeypatch.setattr(sys, "meta_path", [f for f in sys.meta_path if not isinstance(f, Alias)])
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    assert not compat._is_importable("torchvision")
    assert not [name for name in sys.modules if name.partition(".")[0] == "torchvision"]


def test_without_torch_the_message_names_the_extra():
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import compat; compat.install(torchvision=False); import aihwkit\n"
        "from analogjax.errors import MissingPackage\n"
        "try:\n    import aihwkit.nn\nexcept MissingPackage as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=_root())
    assert 'pip install "analogjax[torch]"' in done.stdout, done.stderr
    assert issubclass(MissingPackage, ImportError)


def test_a_program_may_begin_with_any_package():
    # packages need each other, so what is imported first decides whether one is met half-made
    program = (
        "import importlib, pkgutil, sys, warnings\n"
        "import compat, torch, analogjax.physics; compat.install(torchvision=False, aitoolbox=False)\n"
        "warnings.simplefilter('ignore', FutureWarning)  # of an old place\n"
        "import compat.aihwkit as ours\n"
        "found = [m.name for m in pkgutil.walk_packages(ours.__path__, 'aihwkit.') if m.ispkg]\n"
        "for name in ['aihwkit.utils.visualization', *found]:\n"
        "    for loaded in [n for n in sys.modules if n.startswith(('compat.', 'aihwkit'))]: del sys.modules[loaded]\n"
        "    importlib.import_module(name)\n"
        "print(len(found))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=_root())
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 20


def _root():
    return Path(__file__).parents[2]


@pytest.mark.parametrize(("chosen", "asynchronous"), [({}, False), ({"JAX_CPU_ENABLE_ASYNC_DISPATCH": "true"}, True)])
def test_products_are_computed_at_once_unless_the_user_says_otherwise(chosen, asynchronous):
    asked = "import jax, compat.torch_bridge; print(jax.config.values['jax_cpu_enable_async_dispatch'])"
    inherited = {name: value for name, value in os.environ.items() if name != "JAX_CPU_ENABLE_ASYNC_DISPATCH"}
    run = subprocess.run(
        [sys.executable, "-c", asked], env=inherited | chosen, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [str(asynchronous)]
