"""Tokens are hashed, expire, can be revoked at once, and sessions die with them."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from analogjax.cloud.errors import CloudError, Refused
from analogjax.cloud.service import tokens
from analogjax.cloud.service.sessions import Signer
from analogjax.cloud.service.tables import Database, EndedSession, Token


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
    signer, caller = Signer(database), tokens.caller_by_token(database, tokens.create_token(database, "ada")[0])
    word = signer.file(caller, "read", "a" * 8, "input.pb")
    opened = signer.file_of(word, "read")
    assert (opened.caller, opened.experiment, opened.name) == (caller, "a" * 8, "input.pb")
    assert signer.caller(word) is None
    unsigned = "eyJhbGciOiJub25lIn0.eyJ1c2UiOiJmaWxlIiwidmVyYiI6InJlYWQiLCJleHAiOjk5OTk5OTk5OTl9."
    for text, verb in ((word, "write"), ("x.y.z", "read"), ("", "read"), (unsigned, "read")):
        with pytest.raises(Refused, match="not valid") as refused:
            signer.file_of(text, verb)
        assert refused.value.status == 403


def test_logging_out_ends_that_session_and_its_words_alone(database):
    signer, (text, made) = Signer(database), tokens.create_token(database, "ada")
    first, other = (signer.session(tokens.caller_by_token(database, text)) for _ in range(2))
    words = [signer.file(signer.caller(one), "write", "a" * 8, "input.pb") for one in (first, other, text)]
    assert signer.caller(first).session != signer.caller(other).session
    for _ in range(2):
        signer.end(first)
    assert signer.caller(first) is None and Signer(database).caller(first) is None  # after a restart too
    assert signer.caller(other).name == signer.caller(text).name == "ada"
    with pytest.raises(Refused):
        signer.file_of(words[0], "write")
    assert signer.file_of(words[1], "write").caller.token == signer.file_of(words[2], "write").caller.token == made.id
    tokens.revoke_token(database, made.id)
    for word in words:
        with pytest.raises(Refused):
            signer.file_of(word, "write")


def test_logging_out_from_several_places_at_once(database):
    signer, (text, _) = Signer(database), tokens.create_token(database, "ada")
    session = signer.session(tokens.caller_by_token(database, text))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(signer.end, [session] * 24))
    assert signer.caller(session) is None


def test_sessions_without_an_id_of_an_earlier_version_are_not_taken(database):
    signer, (_, made) = Signer(database), tokens.create_token(database, "ada")
    old = signer._sign({"use": "session", "token": made.id, "exp": 99999999999})
    assert signer.caller(old) is None
    signer.end(old)
    signer.end("nothing")


def test_only_sessions_that_could_still_be_shown_are_remembered_as_ended(database):
    signer, (text, _) = Signer(database), tokens.create_token(database, "ada")
    with database.transaction() as session:
        session.add(EndedSession(id="long ago", expires=1.0))
    signer.end(signer.session(tokens.caller_by_token(database, text)))
    with database.reading() as session:
        kept = list(session.scalars(sa.select(EndedSession)))
    assert len(kept) == 1 and kept[0].id != "long ago"


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
