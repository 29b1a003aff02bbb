"""Tokens are hashed, expire, can be revoked at once, and sessions die with them."""

import pytest
import sqlalchemy as sa

from analogjax.cloud.errors import CloudError
from analogjax.cloud.service import tokens
from analogjax.cloud.service.sessions import Signer
from analogjax.cloud.service.tables import Database, Token


def test_only_a_hash_is_kept(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'service.db'}")
    database.migrate()
    text, _ = tokens.create_token(database, "ada")
    database.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert text.encode() not in kept and text.removeprefix(tokens.PREFIX).encode() not in kept


def test_a_token_names_its_user(database):
    text, made = tokens.create_token(database, "ada", "laptop")
    caller = tokens.caller_by_token(database, text)
    assert (caller.name, caller.token) == ("ada", made.id)
    assert tokens.caller_by_token(database, text + "x") is None
    assert tokens.caller_by_token(database, "\ud800") is None
    assert [(name, token.label) for name, token in tokens.list_tokens(database)] == [("ada", "laptop")]


def test_two_tokens_of_one_user(database):
    (first, _), (second, _) = tokens.create_token(database, "ada"), tokens.create_token(database, "ada")
    assert tokens.caller_by_token(database, first).user == tokens.caller_by_token(database, second).user


def test_a_revoked_token_is_worth_nothing_at_once(database):
    text, made = tokens.create_token(database, "ada")
    signer = Signer(database)
    session = signer.session(tokens.caller_by_token(database, text))
    assert signer.caller(session).name == signer.caller(text).name == "ada"
    tokens.revoke_token(database, made.id)
    assert signer.caller(session) is None and signer.caller(text) is None
    assert not tokens.any_token(database)


def test_an_expired_token_is_worth_nothing(database):
    text, _ = tokens.create_token(database, "ada", days=1.0)
    assert tokens.any_token(database)
    with database.transaction() as session:
        session.execute(sa.update(Token).values(expires=1.0))
    assert tokens.caller_by_token(database, text) is None and not tokens.any_token(database)


@pytest.mark.parametrize("name", ["", "../x", "a b", "a" * 65, "\x00"])
def test_names_that_are_none(database, name):
    with pytest.raises(CloudError, match="user name"):
        tokens.create_token(database, name)


def test_revoking_what_is_not_there(database):
    with pytest.raises(CloudError, match="token list"):
        tokens.revoke_token(database, "nothing")


def test_sessions_outlive_a_restart_but_not_another_service(database, tmp_path):
    text, _ = tokens.create_token(database, "ada")
    session = Signer(database).session(tokens.caller_by_token(database, text))
    assert Signer(database).caller(session).name == "ada"
    other = Database(f"sqlite:///{tmp_path / 'other.db'}")
    other.migrate()
    assert Signer(other).caller(session) is None
    other.close()


def test_a_word_for_a_file_opens_only_that(database):
    signer = Signer(database)
    word = signer.file("read", "a" * 8, "input.pb")
    assert signer.file_of(word, "read") == ("a" * 8, "input.pb")
    assert signer.file_of(word, "write") is None and signer.caller(word) is None
    assert signer.file_of("x.y.z", "read") is None and signer.file_of("", "read") is None
    unsigned = "eyJhbGciOiJub25lIn0.eyJ1c2UiOiJmaWxlIiwidmVyYiI6InJlYWQiLCJleHAiOjk5OTk5OTk5OTl9."
    assert signer.file_of(unsigned, "read") is None


def test_the_database_is_migrated_once_and_matches_the_tables(database):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from analogjax.cloud.service.tables import Base

    database.migrate()
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_a_database_of_a_newer_version_is_refused(database):
    with database.transaction() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CloudError, match="newer analogjax"):
        database.migrate()


@pytest.mark.parametrize("url", ["", "nothing", "mysql://host/db"])
def test_databases_that_are_not_known(url):
    with pytest.raises(CloudError, match="postgresql"):
        Database(url)


def test_a_password_is_not_shown():
    assert "secret" not in Database("postgresql://ada:secret@host/db").shown
