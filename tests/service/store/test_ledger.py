"""The chain: whole until something is touched, and then the row is named."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from commands import mfas, refusal
from mfas.service.ledger import LedgerError, parse_anchor, verify
from mfas.service.store import Store
from stored import decision, hashed, step


def filled(store: Store) -> Store:
    """Rows: 1 site, 2 to 6 decisions, 7 a step, 8 a decision."""
    store.record_decisions([decision(subject=hashed("s")) for _ in range(5)])
    store.record_steps("door", [step(hashed("s"))])
    store.record_decision(decision())
    return store


def test_a_whole_ledger_verifies(store: Store) -> None:
    found = verify(filled(store).database)
    assert (found.rows, found.records, found.removed) == (8, 7, 0)
    assert (found.rows, found.head) == store.ledger_head()
    assert verify(store.database, parse_anchor("8:" + found.head)) == found


@pytest.mark.parametrize(
    "verb", ["UPDATE ledger SET kind = 'x' WHERE seq = 2", "DELETE FROM ledger", "TRUNCATE ledger"]
)
def test_the_database_refuses_to_change_it(store: Store, verb: str) -> None:
    filled(store)
    with pytest.raises(sa.exc.SQLAlchemyError, match=r"append-only|syntax error"), store.database.write() as connection:
        connection.execute(sa.text(verb))
    assert verify(store.database).rows == 8


def without_triggers(file: Path, statement: str) -> None:
    """What somebody with the file in hand can do."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DROP TRIGGER ledger_no_update")
        connection.execute("DROP TRIGGER ledger_no_delete")
        connection.execute(statement)


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE ledger SET payload = replace(payload, '{{', '{{ ') WHERE seq = 4", "row 4: was changed"),
        ("UPDATE ledger SET time = replace(time, 'Z', 'z') WHERE seq = 5", "row 5: was changed"),
        ("UPDATE ledger SET site = NULL WHERE seq = 3", "row 3: was changed"),
        ("UPDATE ledger SET kind = 'step' WHERE seq = 2", "row 2: was changed"),
        ("UPDATE ledger SET hash = replace(hash, substr(hash, 1, 1), 'g') WHERE seq = 6", "row 6: was changed"),
        ("UPDATE ledger SET previous = hash WHERE seq = 7", "row 7: does not follow"),
        ("DELETE FROM ledger WHERE seq = 4", "row 4: expected it, got row 5"),
        ("DELETE FROM ledger WHERE seq = 1", "row 1: expected it, got row 2"),
        ("DELETE FROM ledger WHERE seq = 8", "row 8: expected rows up to 8, got up to 7"),
        ("UPDATE decisions SET score = 0.874 WHERE seq = 3", "row 3: its decision was changed"),
        ("UPDATE decisions SET time = replace(time, '-', '+') WHERE seq = 3", "row 3: its decision was changed"),
        ("UPDATE steps SET accepted = 0 WHERE seq = 7", "row 7: its step was changed"),
        ("DELETE FROM decisions WHERE seq = 6", "row 6: its record is gone"),
        ("UPDATE decisions SET seq = 99 WHERE seq = 6", "row 6: its record is gone"),
        (
            "INSERT INTO decisions SELECT 99, 'x' || request_id, " + "{rest} FROM decisions WHERE seq = 2",
            "row 99: there is",
        ),
    ],
)
def test_the_first_wrong_row_is_named(sqlite: Store, statement: str, sentence: str) -> None:
    filled(sqlite)
    with sqlite.database.read() as connection:
        columns = [c["name"] for c in sa.inspect(connection).get_columns("decisions")]
    without_triggers(sqlite.database.file, statement.format(rest=", ".join(columns[2:])))
    with pytest.raises(LedgerError, match=sentence):
        verify(sqlite.database)


def test_one_flipped_byte_of_the_file_is_found(sqlite: Store) -> None:
    filled(sqlite)
    url, file = str(sqlite.database.url), sqlite.database.file
    wanted = sqlite.ledger(after=3, limit=1)[0].payload["row"].encode()
    sqlite.close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw = bytearray(file.read_bytes())
    at = raw.index(wanted)
    raw[at] ^= 1
    file.write_bytes(raw)
    assert "ledger row 4: was changed" in refusal("ledger", "verify", "--database", url)


def rewritten(store: Store) -> None:
    """A ledger whose owner has computed every hash anew after changing row 3."""
    from mfas.service.store.chain import row_hash

    with closing(sqlite3.connect(store.database.file)) as connection, connection:
        connection.execute("DROP TRIGGER ledger_no_update")
        connection.execute("UPDATE ledger SET payload = '{}', kind = 'other' WHERE seq = 3")
        connection.execute("DELETE FROM decisions WHERE seq = 3")
        previous = connection.execute("SELECT hash FROM ledger WHERE seq = 2").fetchone()[0]
        rows = connection.execute("SELECT seq, time, kind, site, payload FROM ledger WHERE seq > 2 ORDER BY seq")
        for seq, time, kind, site, payload in rows.fetchall():
            own = row_hash(seq, time, kind, site, payload, previous)
            connection.execute("UPDATE ledger SET previous = ?, hash = ? WHERE seq = ?", (previous, own, seq))
            previous = own
        connection.execute("UPDATE ledger_head SET hash = ?", (previous,))


def test_an_anchor_tells_a_ledger_that_was_written_anew(sqlite: Store) -> None:
    filled(sqlite)
    anchor = sqlite.ledger_head()
    rewritten(sqlite)
    assert verify(sqlite.database).rows == 8
    with pytest.raises(LedgerError, match="row 8: is not the row of the anchor"):
        verify(sqlite.database, anchor)
    with pytest.raises(LedgerError, match="up to the anchor 9"):
        verify(sqlite.database, (9, anchor[1]))


@pytest.mark.parametrize("text", ["", "1", "1:xyz", "0:" + "0" * 64, "-1:" + "0" * 64, ":" + "0" * 64])
def test_anchors_are_a_number_and_a_hash(text: str) -> None:
    with pytest.raises(LedgerError, match="NUMBER:HASH"):
        parse_anchor(text)


def test_the_verb_says_what_it_found(sqlite: Store, capsys: pytest.CaptureFixture[str]) -> None:
    filled(sqlite)
    url = str(sqlite.database.url)
    assert mfas("ledger", "verify", "--database", url, "--json").json()["rows"] == 8
    seq, own = sqlite.ledger_head()
    assert mfas("ledger", "verify", "--database", url, "--anchor", f"{seq}:{own}").code == 0
    assert "is not the row" in refusal("ledger", "verify", "--database", url, "--anchor", f"{seq}:{'0' * 64}")
    assert "found none" in refusal("ledger", "verify", "--database", f"{url}.other")


def broken_page(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[5000:9000] = b"\xff" * 4000
    file.write_bytes(raw)


@pytest.mark.parametrize("harm", [broken_page, lambda file: file.write_bytes(b"no database at all")])
def test_a_file_that_cannot_be_read_is_a_sentence(sqlite: Store, harm: Callable[[Path], None]) -> None:
    filled(sqlite)
    url, file = str(sqlite.database.url), sqlite.database.file
    sqlite.close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    harm(file)
    assert "cannot be read" in refusal("ledger", "verify", "--database", url)
