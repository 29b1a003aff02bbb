"""What programs are compiled for, and where they are kept."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import _processor
from analogjax._processor import Tuned, compiler_options, program_cache
from analogjax.experiments.placement import default_platform

MODERN = frozenset({"avx512f", "avx512vl", "avx512_vbmi2", "avx2"})
OPTION = {"xla_cpu_prefer_vector_width": "512"}


@pytest.fixture
def on(monkeypatch):
    """Pretends that this is another processor."""
    jax.devices()  # with the flags of the test run
    monkeypatch.setenv("XLA_FLAGS", "")

    def pretend(model, flags):
        monkeypatch.setattr(_processor, "processor", lambda: (model, frozenset(flags)))

    return pretend


def test_wide_vectors_are_for_processors_that_have_them_at_full_clock(on):
    on("Zen 5", MODERN)
    assert compiler_options("cpu") == OPTION
    assert compiler_options("gpu") == compiler_options("tpu") == {}
    on("Cascade Lake", MODERN - {"avx512_vbmi2"})
    assert compiler_options("cpu") == {}
    on("Neoverse", {"asimd", "sve"})
    assert compiler_options("cpu") == {}


def test_flags_of_the_user_win(on, monkeypatch):
    on("Zen 5", MODERN)
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_prefer_vector_width=256")
    assert compiler_options("cpu") == {}


def test_an_option_that_xla_does_not_know_is_left_out(on, monkeypatch):
    assert not _processor._accepted("xla_cpu_of_another_age")
    on("Zen 5", MODERN)
    monkeypatch.setattr(_processor, "_accepted", lambda option: False)
    assert compiler_options("cpu") == {}


def test_a_cache_belongs_to_a_processor_a_jax_and_its_flags(on, monkeypatch, tmp_path):
    places = []
    for model, flags, xla in (("A", {"avx"}, ""), ("B", {"avx"}, ""), ("A", {"avx", "sse"}, ""), ("A", {"avx"}, "--x")):
        on(model, flags)
        monkeypatch.setenv("XLA_FLAGS", xla)
        places += [program_cache(tmp_path), program_cache(tmp_path)]
    assert len(set(places)) == 4 and {Path(place).parent for place in places} == {tmp_path}
    assert jax.__version__ in places[0]


@pytest.mark.parametrize("options", [{}, OPTION])
def test_a_tuned_function_is_what_jit_is_also_within_transformations(options, monkeypatch):
    monkeypatch.setattr(_processor, "compiler_options", lambda platform: options)
    tuned, x = Tuned(lambda x: jnp.sin(x).sum(), "cpu"), jnp.arange(4.0)
    plain = jnp.sin(x).sum()
    np.testing.assert_allclose(tuned(x), plain, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda x: tuned(x))(x), plain, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda: tuned(x))(), plain, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(tuned)(x), jnp.cos(x), rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(tuned)(jnp.stack([x, x])), jnp.stack([plain, plain]), rtol=1e-6)
    np.testing.assert_allclose(tuned.lower(x).compile()(x), plain, rtol=1e-6)
    for platform in ("cpu", "cuda", "tpu"):
        jax.export.export(jax.jit(lambda x: tuned(x)), platforms=[platform])(x)


def test_the_default_platform():
    assert default_platform() == "cpu"
    with jax.default_device(jax.devices("cpu")[1]):
        assert default_platform() == "cpu"


PROGRAM = "import sys; sys.argv[0] = 'analogjax'; from analogjax.cli import main; sys.exit(main(sys.argv[1:]))"
TRAIN = ["train", "--dataset", "Digits", "--layers", "4", "--epochs", "1", "--max-elements", "16", "--no-record"]


def command(*arguments, **environment):
    kept = {name: value for name, value in os.environ.items() if name not in ("TF_CPP_MIN_LOG_LEVEL", "XLA_FLAGS")}
    quick = "--xla_backend_optimization_level=0"
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env=kept | {"XLA_FLAGS": quick} | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def cached(folder):
    return [*TRAIN, "--output", "csv", "--compilation-cache", str(folder / "cache")]


def assert_silent_and_alike(*runs):
    for one in runs:
        assert (one.returncode, one.stderr) == (0, "")
        assert one.stdout.rsplit(",", 1)[0] == runs[0].stdout.rsplit(",", 1)[0]


def test_the_second_run_with_a_cache_says_nothing_on_standard_error(tmp_path):
    assert_silent_and_alike(*(command(*cached(tmp_path)) for _ in range(2)))
    (own,) = (tmp_path / "cache").iterdir()
    assert list(own.glob("*-cache")) and not list((tmp_path / "cache").glob("*-cache"))


@pytest.mark.slow
def test_a_cache_that_a_file_names_is_as_silent_and_a_log_level_that_was_chosen_stays(tmp_path):
    (tmp_path / "run.toml").write_text(f"compilation-cache = {str(tmp_path / 'cache')!r}\n")
    first = command(*cached(tmp_path))
    assert_silent_and_alike(first, command(*TRAIN, "--output", "csv", "--config", str(tmp_path / "run.toml")))
    # XLA logs then, its lines name the place in its source
    assert ".cc:" in command(*cached(tmp_path), TF_CPP_MIN_LOG_LEVEL="0").stderr


def test_without_a_cache_xla_logs_as_ever():
    show = (
        "import os, sys; sys.argv = ['analogjax']; from analogjax.cli import main; main(['devices']); "
        "print(os.environ.get('TF_CPP_MIN_LOG_LEVEL'))"
    )
    kept = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    kept.pop("JAX_COMPILATION_CACHE_DIR", None)
    done = subprocess.run([sys.executable, "-c", show], env=kept, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] in ("None", "1")  # JAX's own choice
    kept["JAX_COMPILATION_CACHE_DIR"] = os.devnull
    done = subprocess.run([sys.executable, "-c", show], env=kept, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "3"


def test_machines_that_share_a_folder_keep_programs_apart(monkeypatch, tmp_path):
    show = (
        "from analogjax._processor import keep_own_programs; keep_own_programs(); "
        "import jax; print(jax.config.jax_compilation_cache_dir)"
    )
    for before in ("", "import jax; "):
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", before + show], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == program_cache(tmp_path)
