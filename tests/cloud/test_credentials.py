"""Where a client finds the service and its token, and what it does not do with them."""

import traceback
import warnings

import pytest

from analogjax.cloud import CloudError, CredentialsError, find_credentials
from analogjax.cloud.credentials import DEFAULT_URL, plain_url


@pytest.fixture(autouse=True)
def nothing_set(tmp_path, monkeypatch):
    """No credentials anywhere, and an empty folder to be in."""
    for name in ("ANALOGJAX_API_TOKEN", "AIHW_API_TOKEN", "ANALOGJAX_API_URL", "AIHW_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def write(path, token=None, url=None, mode=0o600):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["[cloud]", f"api_token = {token}" if token else "", f"api_url = {url}" if url else ""]
    path.write_text("\n".join(lines))
    path.chmod(mode)
    return path


def places(tmp_path):
    config = tmp_path / "config"
    return config / "aihwkit" / "aihwkit.conf", config / "aihwkit.conf", tmp_path / "here" / "aihwkit.conf"


def test_every_place_in_its_order(tmp_path, monkeypatch):
    found = []
    for path, name in zip(reversed(places(tmp_path)), ("here", "documented", "code"), strict=True):
        write(path, f"t-{name}", f"http://localhost/{name}")
        found.append(find_credentials())
    for variable in ("AIHW", "ANALOGJAX"):
        monkeypatch.setenv(f"{variable}_API_TOKEN", f"t-{variable}")
        monkeypatch.setenv(f"{variable}_API_URL", f"http://localhost/{variable}")
        found.append(find_credentials())
    found.append(find_credentials("http://localhost/argument/", "t-argument"))
    names = ["here", "documented", "code", "AIHW", "ANALOGJAX", "argument"]
    assert [(one.token, one.url) for one in found] == [(f"t-{name}", f"http://localhost/{name}") for name in names]
    assert "ANALOGJAX_API_TOKEN" in found[4].source and str(tmp_path) in found[2].source


def test_token_and_address_may_come_from_different_places(tmp_path, monkeypatch):
    write(places(tmp_path)[1], url="http://localhost:1")
    monkeypatch.setenv("AIHW_API_TOKEN", "t")
    assert find_credentials().url == "http://localhost:1"
    assert find_credentials(api_url="http://localhost:2").url == "http://localhost:2"
    write(places(tmp_path)[1])
    assert find_credentials().url == DEFAULT_URL


@pytest.mark.parametrize("where", ["environment", "user's file", "argument"])
def test_an_address_in_the_folder_gets_no_token_from_elsewhere(tmp_path, monkeypatch, where):
    write(places(tmp_path)[2], url="https://thief.example")
    given = {}
    if where == "environment":
        monkeypatch.setenv("ANALOGJAX_API_TOKEN", "mine")
    elif where == "argument":
        given["api_token"] = "mine"
    else:
        write(places(tmp_path)[0], "mine")
    with pytest.warns(UserWarning, match=r"\./aihwkit\.conf is not used"):
        found = find_credentials(**given)
    assert (found.token, found.url) == ("mine", DEFAULT_URL)


def test_the_folders_own_token_goes_to_its_own_address(tmp_path):
    write(places(tmp_path)[2], "theirs", "https://theirs.example")
    found = find_credentials()
    assert (found.token, found.url) == ("theirs", "https://theirs.example")


def test_no_token_shows_the_three_lines_and_where(tmp_path):
    with pytest.raises(CredentialsError) as caught:
        find_credentials()
    text = str(caught.value)
    assert "[cloud]\napi_token = YOUR_TOKEN\napi_url = http://127.0.0.1:8642\n" in text
    assert str(tmp_path / "config" / "aihwkit.conf") in text and isinstance(caught.value, CloudError)


@pytest.mark.parametrize(
    "content",
    ["api_token = s3cret-word\n", "[cloud]\napi_token = s3cret-word\ns3cret-word\n", "[cloud\napi_token = s3cret-word"],
)
def test_a_malformed_file_is_named_and_not_shown(tmp_path, content):
    path = write(places(tmp_path)[0])
    path.write_text(content)
    with pytest.raises(CredentialsError, match=r"aihwkit\.conf is not of the form") as caught:
        find_credentials()
    assert str(path) in str(caught.value)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_a_file_that_is_no_text_is_named(tmp_path):
    write(places(tmp_path)[0]).write_bytes(b"\xff\xfe\x00[cloud]")
    with pytest.raises(CredentialsError, match=r"aihwkit\.conf is not of the form"):
        find_credentials()


def test_a_file_that_cant_be_read_is_named(tmp_path):
    places(tmp_path)[0].mkdir(parents=True)
    with pytest.raises(CredentialsError, match=r"aihwkit\.conf can't be read"):
        find_credentials()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_file_that_others_can_read_is_warned_of(tmp_path, mode):
    path = write(places(tmp_path)[0], "t", mode=mode)
    with pytest.warns(UserWarning, match=f"chmod 600 {path}"):
        assert find_credentials().token == "t"


def test_a_percent_sign_is_part_of_a_token(tmp_path):
    write(places(tmp_path)[0], "a%b%%c")
    assert find_credentials().token == "a%b%%c"


def test_the_token_is_not_shown():
    found = find_credentials("http://localhost", "s3cret-word")
    assert "s3cret" not in repr(found) and "s3cret" not in str(found)


@pytest.mark.parametrize("token", ["two words", "line\nbreak-s3cret", "naïve"])
def test_what_is_no_token_is_refused_unseen(token):
    with pytest.raises(CredentialsError, match="one word") as caught:
        find_credentials("http://localhost", token)
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["localhost:8642", "ftp://localhost", "http://", "http://localhost:port", "http://a:b@localhost", "http://h/?a=1"],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(CredentialsError, match="api_url"):
        find_credentials(url, "t")


def test_a_token_in_clear_over_a_network_is_warned_of():
    with pytest.warns(UserWarning, match="not encrypted"):
        find_credentials("http://server.example:8642", "t")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for url in ("https://server.example", "http://[::1]:8642", "http://localhost:1", "http://127.0.0.2"):
            assert find_credentials(url, "t").url == url


def test_an_address_is_shown_without_what_is_secret():
    assert plain_url("https://user:word@host:1/a?b=c#d") == "https://host:1/a"
