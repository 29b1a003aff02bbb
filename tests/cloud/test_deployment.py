"""The recipes in deploy/: nginx with TLS before a service, on loopback; the unit by its linter; their options."""

import re
import shutil
import socket
import subprocess
import time

import pytest
import requests

from tests.cloud.experiments import protobuf, submission
from tests.cloud.running_service import ROOT, free_socket, service_in_thread
from tests.cloud.service.test_protocol import Idle

DEPLOY = ROOT / "deploy"
_NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")


def port():
    with free_socket() as probe:
        return probe.getsockname()[1]


def listens(number):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", number)) == 0


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    """The address behind nginx, the certificate to trust, and the service."""
    if _NGINX is None or shutil.which("openssl") is None:
        pytest.skip("nginx or openssl is not installed (Debian: nginx openssl)")
    folder, outside, inside = tmp_path_factory.mktemp("nginx"), port(), port()
    name = "/CN=localhost"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", name, "-addext",
         "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    text = (DEPLOY / "nginx.conf").read_text()
    for old, new in (
        ("listen 443 ssl", f"listen 127.0.0.1:{outside} ssl"), ("127.0.0.1:8642;", f"127.0.0.1:{inside};"),
        ("/etc/ssl/analogjax.pem", f"{folder}/cert.pem"), ("/etc/ssl/analogjax.key", f"{folder}/key.pem"),
        ("analogjax.example.org;", "localhost;"), ("client_body_timeout 15s", "client_body_timeout 2s"),
    ):  # fmt: skip
        assert old in text, old
        text = text.replace(old, new)
    (folder / "site.conf").write_text(text)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; user root; worker_processes 1;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary} include {folder}/site.conf; }}\n"
    )
    url = f"https://localhost:{outside}"
    with service_in_thread(folder / "home", Idle(), port=inside, public_url=url) as service:
        server = subprocess.Popen([_NGINX, "-c", folder / "nginx.conf", "-e", folder / "error.log"])
        try:
            end = time.monotonic() + 20
            while not listens(outside) and time.monotonic() < end:
                time.sleep(0.1)
            assert server.poll() is None, (folder / "error.log").read_text()
            yield url, str(folder / "cert.pem"), service
        finally:
            server.terminate()
            server.wait(20)


def test_the_service_works_through_nginx(proxied):
    url, trusted, service = proxied
    given = {"headers": service.headers, "verify": trusted, "timeout": 30}
    answer = requests.get(f"{url}/healthz", **given)
    assert answer.status_code == 200 and "max-age" in answer.headers["strict-transport-security"]
    assert requests.put(f"{url}/api/v1/experiments/{'a' * 8}", json=submission(), **given).status_code == 201
    login = requests.post(f"{url}/api/v1/session", json={"token": service.token}, verify=trusted, timeout=30)
    assert "Secure" in login.headers["set-cookie"]
    made = requests.post(f"{url}/experiments", json={"name": "x", "category": "train"}, **given).json()
    place = requests.post(f"{url}/inputs", json={"experiment": made["id"]}, **given).json()["url"]
    assert place.startswith(f"{url}/files/")
    payload = protobuf().SerializeToString()
    assert requests.put(place, data=payload, verify=trusted, timeout=30).status_code == 204
    assert requests.get(f"{url}/metrics", verify=trusted, timeout=30).status_code == 200  # from this machine


def test_large_slow_and_frequent_requests_end_at_nginx(proxied):
    import ssl

    url, trusted, service = proxied
    answer = requests.put(
        f"{url}/api/v1/experiments/{'a' * 8}",
        data=b"x" * 9_000_000,
        headers=service.headers,
        verify=trusted,
        timeout=30,
    )
    assert answer.status_code == 413
    with (
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=20) as plain,
        ssl.create_default_context(cafile=trusted).wrap_socket(plain, server_hostname="localhost") as raw,
    ):
        head = f"PUT /api/v1/experiments/{'a' * 8} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx"
        raw.sendall(head.encode())
        begun = time.monotonic()
        assert raw.recv(4096).partition(b"\r\n")[0] in (b"", b"HTTP/1.1 408 Request Time-out")
        assert time.monotonic() - begun < service.settings.body_seconds  # nginx's time, not the service's
    answers = [
        requests.post(f"{url}/token/login", json={"token": "wrong"}, verify=trusted, timeout=30).status_code
        for _ in range(40)
    ]
    assert answers[0] == 400 and answers[-1] == 503


def test_the_unit_is_one_that_systemd_understands(tmp_path):
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    text = (DEPLOY / "analogjax.service").read_text()
    start = re.search(r"ExecStart=(\S+) ", text)[1]
    (tmp_path / "analogjax.service").write_text(text.replace(start, "/bin/true"))
    done = subprocess.run([program, "verify", tmp_path / "analogjax.service"], capture_output=True, text=True)
    mine = [line for line in done.stderr.splitlines() if "analogjax.service" in line]
    assert mine == [], mine


def test_the_options_of_the_recipes_exist(capsys):
    from analogjax.cli import main

    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    known = capsys.readouterr().out
    for name in ("Dockerfile", "analogjax.service", "nginx.conf", "Caddyfile"):
        lines = [line for line in (DEPLOY / name).read_text().splitlines() if "analogjax serve" in line]
        for option in re.findall(r"--[a-z-]+", " ".join(lines)):
            assert option in known, (name, option)
    for copied in re.findall(r"^COPY (.*) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE):
        assert all((ROOT / one).exists() for one in copied.split())
