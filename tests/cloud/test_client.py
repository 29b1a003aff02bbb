"""`CloudRunner` against a real service whose workers really train, and against servers that misbehave."""

import dataclasses
import datetime
import http.server
import ipaddress
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import jax
import numpy as np
import pytest

from analogjax import AnalogLinear, BasicTraining, Digits, LocalRunner, Sequential, TileConfig, nn
from analogjax.cloud import (
    CloudRunner,
    ConnectionFailed,
    CredentialsError,
    DescriptionError,
    ExperimentStatusError,
    Refused,
    Status,
    connection,
)
from analogjax.cloud.credentials import Credentials
from analogjax.experiments import Arrays
from analogjax.nn import flatten
from analogjax.physics import FloatingPoint, Periphery, SoftBounds
from tests.cloud.running_service import free_socket, service_in_thread

ROOT = Path(__file__).parents[2]
TOKEN = "s3cret-token"


def small(**given):
    layers = (flatten, AnalogLinear(10, config=TileConfig(device=SoftBounds())), jax.nn.log_softmax)
    return BasicTraining(**({"dataset": Digits, "model": Sequential(*layers), "batch_size": 50, "epochs": 2} | given))


def compile_once(patched):
    """Workers use the compilations of earlier ones."""
    patched.setenv("JAX_COMPILATION_CACHE_DIR", str(jax.config.jax_compilation_cache_dir))
    patched.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    patched.setenv("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        compile_once(patched)
        with service_in_thread(tmp_path_factory.mktemp("service") / "home") as running:
            yield running


@pytest.fixture
def runner(service):
    return CloudRunner(service.url, service.token)


@pytest.fixture(scope="module")
def done(service):
    """An experiment that the service has run to its end, and what was printed meanwhile."""
    job = CloudRunner(service.url, service.token).run(
        small(), name="two epochs", device="cpu", seed=3, max_elements_train=100
    )
    assert job.wait(240, progress=False) is Status.COMPLETED, job.logs()
    return job


def same(left, right):
    one, other = jax.tree.flatten(left), jax.tree.flatten(right)
    return one[1] == other[1] and all(
        np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(one[0], other[0], strict=True)
    )


def without_time(results):
    return [{name: value for name, value in entry.items() if name != "time_epoch"} for entry in results]


def test_the_result_is_that_of_the_same_run_here_and_the_weights_are_its_bits(done):
    here = LocalRunner("cpu").run(small(), 100, seed=3, stdout=False)
    assert without_time(done.get_result()) == without_time(here)
    assert set(done.get_result()[0]) == {"epoch", "time_epoch", "accuracy", "train_loss", "valid_loss"}
    trained = done.get_experiment()
    assert same(trained.variables, here.variables)
    assert (trained.batch_size, trained.epochs, trained.dataset) == (50, 2, Digits)


def test_the_trained_experiment_goes_on_here(done):
    trained = dataclasses.replace(done.get_experiment(), epochs=1)
    assert "variables" not in str(trained) + repr(trained) and "variables" not in trained.describe()
    first = LocalRunner("cpu").run(trained, 100, seed=4, stdout=False)
    second = LocalRunner("cpu").run(
        dataclasses.replace(trained, variables=None), 100, seed=4, stdout=False, variables=trained.variables
    )
    assert same(first.variables, second.variables)
    fresh = LocalRunner("cpu").run(dataclasses.replace(trained, variables=None), 100, seed=4, stdout=False)
    assert not same(first.variables, fresh.variables)


def test_the_trained_experiment_goes_on_in_the_cloud(runner, done):
    trained = dataclasses.replace(done.get_experiment(), epochs=1)
    job = runner.run(trained, device="cpu", seed=4, max_elements_train=100)
    assert "continued" in job.name and job.wait(240, progress=False) is Status.COMPLETED, job.logs()
    here = LocalRunner("cpu").run(trained, 100, seed=4, stdout=False)
    assert without_time(job.get_result()) == without_time(here)
    assert same(job.get_experiment().variables, here.variables)
    with pytest.raises(DescriptionError, match="another model"):
        runner.run(dataclasses.replace(small(), variables=nn.Variables(params={}, tiles={})))
    with pytest.raises(DescriptionError, match="variables"):
        runner.run(dataclasses.replace(small(), variables={"params": 1}))


def test_it_is_found_again_and_ended_ones_ask_nothing(runner, done):
    found = runner.get_experiment(done.id)
    assert (found.id, found.name, found.created_at) == (done.id, "two epochs", done.created_at)
    assert (
        done.id in [one.id for one in runner.list_experiments()] == [one.id for one in runner.list_cloud_experiments()]
    )
    assert len(runner.list_experiments(limit=1)) == 1
    assert found.epochs() == done.epochs() and found.reason() is None
    runner._connection.close()
    runner._connection._session = None  # any request would fail
    assert found.status() is Status.COMPLETED and found.get_result() == done.get_result()
    assert found.wait(0) is Status.COMPLETED


def test_files_can_be_downloaded(done, tmp_path):
    in_folder = done.download("results.csv", tmp_path)
    assert in_folder == tmp_path / "results.csv" and in_folder.read_text().startswith("epoch,time_epoch")
    with np.load(done.download("weights.npz", tmp_path / "w.npz")) as weights:
        assert weights["layers_1.weight"].shape == (10, 64)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.csv", "w.npz"]
    with pytest.raises(Refused) as caught:
        done.download("../../secret", tmp_path / "x")
    assert caught.value.status in (404, 422) and not (tmp_path / "x").exists()
    assert "worker: completed" in done.logs()


def test_a_line_is_printed_for_each_epoch(runner, done, capsys):
    assert runner.get_experiment(done.id).wait() is Status.COMPLETED
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == ["Epoch: 0", "Epoch: 1"] and "accuracy: " in lines[1]


def test_a_failure_says_its_reason(runner):
    exact = Periphery(is_perfect=True)
    config = TileConfig(device=FloatingPoint(), forward=exact, backward=exact)
    model = Sequential(flatten, AnalogLinear(10, config=config), jax.nn.log_softmax)
    job = runner.run(small(model=model, learning_rate=1e38), max_elements_train=60, device="cpu")
    assert job.wait(240, progress=False) is Status.FAILED
    assert "loss" in job.reason()
    for ask in (job.get_result, job.get_experiment):
        with pytest.raises(ExperimentStatusError, match=r"failed: .*loss"):
            ask()


def test_before_the_end_there_is_no_result_and_cancel_ends_it(runner):
    job = runner.run(small(epochs=100_000), device="cpu")
    with pytest.raises(ExperimentStatusError, match=r"is (WAITING|RUNNING)\. Wait for its end with \.wait\(\)"):
        job.get_result()
    with pytest.raises(TimeoutError, match=r"still (WAITING|RUNNING)"):
        job.wait(0.3, progress=False)
    job.cancel()
    assert job.wait(120, progress=False) is Status.FAILED and "cancel" in job.reason()
    job.cancel()


def test_experiments_of_others_can_not_be_seen(service, done):
    other = CloudRunner(service.url, service.user("eve")["Authorization"].removeprefix("Bearer "))
    assert other.list_experiments() == []
    with pytest.raises(Refused) as caught:
        other.get_experiment(done.id)
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("experiment", "message"),
    [
        (lambda: small(dataset=Arrays(Digits.load(train=True), Digits.load(train=False))), "can't be sent"),
        (lambda: small(learning_rate=lambda step: 0.1), "LocalRunner"),
        (lambda: small(loss_function=lambda outputs, labels: outputs[:, 0]), "custom functions"),
    ],
)
def test_what_can_not_travel_is_refused_here(runner, experiment, message):
    with pytest.raises(DescriptionError, match=message):
        runner.run(experiment())


def test_what_is_no_training_is_refused_here(runner):
    with pytest.raises(DescriptionError, match=r"run\(str\): give an analogjax\.BasicTraining"):
        runner.run("experiment")


def test_what_the_service_refuses_is_told_in_its_words(runner):
    with pytest.raises(Refused, match="device") as caught:
        runner.run(small(), device="tpu")
    assert caught.value.status == 422


def test_a_token_that_is_not_accepted(service):
    with pytest.raises(CredentialsError, match=r"does not accept the token from the arguments.*token create") as caught:
        CloudRunner(service.url, "ajx_" + TOKEN).list_experiments()
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


def test_the_package_needs_nothing_until_it_is_used():
    program = (
        "import sys, analogjax.cloud as cloud\n"
        "for name in ('requests', 'google.protobuf', 'fastapi', 'sqlalchemy'):\n"
        "    sys.modules[name] = None\n"
        "cloud.CredentialsError, cloud.Status, cloud.RemoteExperiment\n"
        "try:\n"
        "    cloud.CloudRunner('http://127.0.0.1:1', 't')\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert 'pip install "analogjax[cloud]"' in done.stdout


# Servers that misbehave


class Crooked(http.server.ThreadingHTTPServer):
    """Answers with what `answers` holds, `(status, headers, body)`; the last one again and again."""

    def __init__(self, context=None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "https" if context else "http"
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.answers, self.seen = [(200, {}, b"[]")], []
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """A client that has gone is no news."""

    def close(self):
        self.shutdown()
        self.thread.join()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self):
        server = self.server
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server.seen.append((self.command, self.path, self.headers.get("Authorization")))
        status, headers, body = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        if status == "slow":
            time.sleep(headers)
            status, headers = 200, {}
        if status == "break":
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = "Content-Length" in headers

    do_GET = do_PUT = do_POST = do_DELETE = answer


@pytest.fixture
def crooked(monkeypatch):
    monkeypatch.setattr(connection, "_BACKOFF", 0.01)
    made = Crooked()
    yield made
    made.close()


def to(server, **given):
    return connection.Connection(Credentials(server.url, TOKEN, "a test"), **given)


SHOWN = {"id": "a" * 32, "name": "n", "created": 1.5, "epochs_planned": 1, "status": "waiting", "reason": None}


def text(value):
    return json.dumps(value).encode()


def test_an_idempotent_request_is_repeated_and_shows_the_token(crooked):
    crooked.answers = [(503, {"Retry-After": "0"}, b""), ("break", {}, b""), (502, {}, b""), (200, {}, text(SHOWN))]
    assert to(crooked).json("PUT", "/x", {}) == SHOWN
    assert crooked.seen == [("PUT", "/x", f"Bearer {TOKEN}")] * 4


def test_a_body_that_breaks_off_is_asked_for_again(crooked):
    crooked.answers = [(200, {"Content-Length": "1000"}, b"part"), (200, {}, b"whole")]
    assert to(crooked).content("/x") == b"whole"


def test_what_may_not_be_repeated_is_not(crooked):
    crooked.answers = [(503, {}, text({"message": "later, please"}))]
    with pytest.raises(Refused, match="later, please") as caught:
        to(crooked).json("POST", "/x")
    assert caught.value.status == 503 and len(crooked.seen) == 1


def test_repeating_ends(crooked):
    crooked.answers = [(503, {"Retry-After": "0"}, b"")]
    with pytest.raises(Refused, match="HTTP 503"):
        to(crooked).json("GET", "/x")
    assert len(crooked.seen) == 5


def test_a_server_that_asks_to_wait_for_hours_is_not_waited_for(crooked, monkeypatch):
    monkeypatch.setattr(connection, "_LONGEST_PAUSE", 0.05)
    crooked.answers = [(429, {"Retry-After": "86400"}, b""), (200, {}, b"1")]
    assert to(crooked).json("GET", "/x") == 1


def test_time_for_repeating_ends(crooked, monkeypatch):
    monkeypatch.setattr(connection, "_PATIENCE", 0.0)
    crooked.answers = [(503, {"Retry-After": "0"}, b"")]
    with pytest.raises(Refused):
        to(crooked).json("GET", "/x")
    assert len(crooked.seen) < 5


def test_a_slow_server(crooked, monkeypatch):
    monkeypatch.setattr(connection, "_TRIES", 0)
    crooked.answers = [("slow", 1.0, b"1")]
    with pytest.raises(ConnectionFailed, match="did not answer in time"):
        to(crooked, timeout=(1.0, 0.1)).json("GET", "/x")


def test_no_server(monkeypatch):
    monkeypatch.setattr(connection, "_BACKOFF", 0.01)
    with free_socket() as taken:  # bound, but not listening
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConnectionFailed, match=rf"{url}/api/v1/experiments can't be reached.*analogjax serve"):
            CloudRunner(url, TOKEN).list_experiments()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_does_not_get_the_token(crooked, status):
    other = Crooked()
    crooked.answers = [(status, {"Location": f"{other.url}/elsewhere?a=b"}, b"")]
    try:
        with pytest.raises(ConnectionFailed, match=r"redirects to http://127\.0\.0\.1, .*not followed"):
            to(crooked).json("GET", "/x")
        assert other.seen == []
    finally:
        other.close()


@pytest.mark.parametrize("body", [b"<html>", b"", b"\xff\xfe", b"{"])
def test_what_is_not_json(crooked, body):
    crooked.answers = [(200, {}, body)]
    with pytest.raises(ConnectionFailed, match="is not JSON: is http"):
        CloudRunner(crooked.url, TOKEN).list_experiments()


@pytest.mark.parametrize("told", [{}, {"id": 1}, [], SHOWN | {"created": "now"}, SHOWN | {"status": "flying"}])
def test_json_of_another_form(crooked, told):
    crooked.answers = [(200, {}, text(told))]
    with pytest.raises(ConnectionFailed, match=r"form|flying"):
        CloudRunner(crooked.url, TOKEN).get_experiment("a" * 32)


def test_a_file_of_certificates_that_is_not_there(crooked):
    runner = CloudRunner(crooked.url.replace("http:", "https:"), TOKEN, verify="nowhere.pem")
    with pytest.raises(ConnectionFailed, match="verify names a file"):
        runner.list_experiments()


def certificate(folder):
    """A key and a certificate of 127.0.0.1, signed by itself."""
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now, address = datetime.datetime.now(datetime.UTC), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([address]), False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
    pem, text = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, text, serialization.NoEncryption()))
    (folder / "cert.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(pem))
    return folder / "cert.pem", folder / "key.pem"


def test_a_certificate_must_be_trusted(tmp_path):
    chain, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    server = Crooked(context)
    try:
        with pytest.raises(ConnectionFailed, match=r"TLS certificate is not valid here.*verify"):
            to(server).json("GET", "/x")
        assert server.seen == []
        assert to(server, verify=str(chain)).json("GET", "/x") == []
        with pytest.warns(match="Unverified HTTPS request"):
            assert to(server, verify=False).json("GET", "/x") == []
    finally:
        server.close()


def test_the_token_is_in_no_error(crooked, monkeypatch):
    monkeypatch.setattr(connection, "_TRIES", 0)
    for answer in [
        (401, {}, b"no"),
        (500, {}, b"no"),
        ("break", {}, b""),
        (302, {"Location": "/"}, b""),
        (200, {}, b""),
    ]:
        crooked.answers = [answer]
        with pytest.raises((CredentialsError, Refused, ConnectionFailed)) as caught:
            CloudRunner(crooked.url, TOKEN).list_experiments()
        assert TOKEN not in "".join(traceback.format_exception(caught.value))
        assert caught.value.__context__ is None or TOKEN not in repr(caught.value.__context__)
    assert TOKEN not in repr(CloudRunner(crooked.url, TOKEN)) + repr(to(crooked))


def test_a_netrc_file_does_not_replace_the_token(crooked, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("default login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    made = to(crooked)
    made._session.trust_env = True  # as for a service on another machine
    made.json("GET", "/x")
    assert crooked.seen[0][2] == f"Bearer {TOKEN}"


def test_waiting_bears_a_service_that_is_away(crooked, monkeypatch, capsys):
    monkeypatch.setattr(connection, "_TRIES", 0)
    entry = {"epoch": 0, "time_epoch": 1.0, "accuracy": 0.5, "train_loss": 1.0, "valid_loss": 2.0}
    end = {"status": "completed", "reason": None, "epochs": [entry]}
    running = {"status": "running", "reason": None, "epochs": []}
    crooked.answers = [
        (200, {}, text(SHOWN)), (200, {}, text(running)), ("break", {}, b""), (503, {}, b""), (429, {}, b""),
        (200, {}, text(end)),
    ]  # fmt: skip
    job = CloudRunner(crooked.url, TOKEN).get_experiment("a" * 32)
    assert job.wait(20) is Status.COMPLETED
    assert capsys.readouterr().out == "Epoch: 0, loss: 1.00000000, accuracy: 50.000000%, validation loss: 2.00000000\n"


def test_waiting_gives_up_in_the_end(crooked, monkeypatch):
    monkeypatch.setattr(connection, "_TRIES", 0)
    monkeypatch.setattr("analogjax.cloud.remote._PATIENCE", 0.3)
    crooked.answers = [(200, {}, text(SHOWN)), ("break", {}, b"")]
    job = CloudRunner(crooked.url, TOKEN).get_experiment("a" * 32)
    with pytest.raises(ConnectionFailed):
        job.wait(20, progress=False)
    crooked.answers = [(404, {}, text({"message": "gone"}))]
    with pytest.raises(Refused, match="gone"):
        job.wait(20, progress=False)


def test_ctrl_c_ends_the_waiting_and_says_what_goes_on(crooked, capsys):
    crooked.answers = [(200, {}, text(SHOWN)), (200, {}, text({"status": "running", "reason": None, "epochs": []}))]
    job = CloudRunner(crooked.url, TOKEN).get_experiment("a" * 32)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    # a shell starts what runs behind it with interrupts ignored, and Python leaves that as it is
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            job.wait(30)
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
    assert f"Experiment {'a' * 32} continues" in capsys.readouterr().err
    assert not any(command == "POST" for command, _, _ in crooked.seen)


def test_a_bar_on_a_terminal(crooked, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    entry = {"epoch": 0, "time_epoch": 1.0, "accuracy": 0.5, "train_loss": 1.0, "valid_loss": 2.0}
    crooked.answers = [
        (200, {}, text(SHOWN)), (200, {}, text({"status": "completed", "reason": None, "epochs": [entry]})),
    ]  # fmt: skip
    CloudRunner(crooked.url, TOKEN).get_experiment("a" * 32).wait()
    told = capsys.readouterr()
    assert told.out == "" and "accuracy=0.5000" in told.err
