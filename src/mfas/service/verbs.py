"""The verbs of the store on the command line: `mfas ledger`, `mfas keys`, `mfas store`. Thin, like `mfas.cli`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mfas._console import say, show
from mfas._extras import needs

if TYPE_CHECKING:
    from mfas.service.store import Store

Database = Annotated[str, typer.Option("--database", help="sqlite:///FILE or postgresql://USER@HOST/NAME.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
By = Annotated[str, typer.Option("--by", help="Who does this; stands in the ledger.")]


def _group(words: str) -> typer.Typer:
    return typer.Typer(help=words, no_args_is_help=True, rich_markup_mode=None)


ledger_app = _group("The ledger: verify.")
keys_app = _group("API keys: add, list, revoke.")
store_app = _group("The service's store: migrate, purge, delete-subject, backup.")


@ledger_app.command("verify")
def ledger_verify(
    database: Database,
    anchor: Annotated[str | None, typer.Option("--anchor", help="NUMBER:HASH of a row, kept elsewhere.")] = None,
    json: AsJson = False,
) -> None:
    """Compute every hash anew. Exit code 2 names the first row that is wrong."""
    with needs("mfas ledger verify"):
        from mfas.service.ledger import parse_anchor, verify

        found = verify(_opened(database).database, None if anchor is None else parse_anchor(anchor))
        show({"rows": found.rows, "head": found.head, "records": found.records, "removed": found.removed}, json)


@keys_app.command("add")
def keys_add(
    database: Database,
    name: Annotated[str, typer.Option("--name", help="Whose key it is.")],
    scope: Annotated[list[str], typer.Option("--scope", help="score, operate or admin; may be repeated.")],
    site: Annotated[str | None, typer.Option("--site", help="The only site it is for (default: every site).")] = None,
    by: By = "command line",
    json: AsJson = False,
) -> None:
    """Make a key and show it, this once."""
    with needs("mfas keys add"):
        from mfas.service.keys import parse_scopes
        from mfas.service.states import FIRST_SITE

        store = _opened(database, migrate=True)
        if not store.sites():
            store.add_site(FIRST_SITE)
            say(f"{store.database.shown} is new; it has one site, '{FIRST_SITE}'")
        key, presented = store.add_key(name, parse_scopes(scope), site, by)
        show({"id": key.id, "name": key.name, "scopes": sorted(key.scopes), "site": key.site, "key": presented}, json)


@keys_app.command("list")
def keys_list(database: Database, json: AsJson = False) -> None:
    """Show all keys, revoked ones too; never the keys themselves."""
    with needs("mfas keys list"):
        known = _opened(database).keys()
        show({"keys": [key.to_dict() for key in known]}, json)


@keys_app.command("revoke")
def keys_revoke(
    database: Database,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the key, as `mfas keys list` shows it.")],
    by: By = "command line",
    json: AsJson = False,
) -> None:
    """Refuse a key from now on."""
    with needs("mfas keys revoke"):
        show(_opened(database).revoke_key(key_id, by).to_dict(), json)


@store_app.command("migrate")
def store_migrate(database: Database, json: AsJson = False) -> None:
    """Make the tables, or bring them up to date."""
    with needs("mfas store migrate"):
        store = _opened(database, migrate=True)
        show({"database": store.database.shown, "version": store.version()}, json)


@store_app.command("purge")
def store_purge(database: Database, json: AsJson = False) -> None:
    """Remove decisions and steps that are older than their site's limit."""
    with needs("mfas store purge"):
        purged = _opened(database).purge()
        rows = [
            {"site": p.site, "decisions": p.decisions, "steps": p.steps, "nonces": p.nonces, "deltas": p.deltas}
            for p in purged
        ]
        show({"purged": rows}, json)


@store_app.command("delete-subject")
def store_delete_subject(
    database: Database,
    site: Annotated[str, typer.Option("--site", help="Site whose subject it is.")],
    subject: Annotated[str, typer.Option("--subject", help="The pseudonym the captures came with.")],
    secret_file: Annotated[
        Path | None, typer.Option("--secret-file", help="The service's secret (default: beside the database).")
    ] = None,
    by: By = "command line",
    json: AsJson = False,
) -> None:
    """Remove everything of a subject, and list the states it has taught."""
    with needs("mfas store delete-subject"):
        from mfas.service.signing import load_secret

        store = _opened(database)
        secret = load_secret(secret_file or store.database.secret_file, create=False)
        store.bind(secret)
        done = store.delete_subject(site, secret.pseudonym(site, "subject", subject), by)
        show({"site": site, "decisions": done.decisions, "steps": done.steps, "states": list(done.states)}, json)


@store_app.command("backup")
def store_backup(
    database: Database,
    out: Annotated[Path, typer.Option("--out", help="New file to write.")],
    json: AsJson = False,
) -> None:
    """Copy an SQLite database while it is in use. The secret is not in it: keep that elsewhere."""
    with needs("mfas store backup"):
        from mfas._files import sha256

        written = _opened(database).backup(out)
        show({"backup": str(written), "sha256": sha256(written)}, json)


def _opened(url: str, *, migrate: bool = False) -> Store:
    """The store; only a verb that may begin one makes it."""
    from mfas.service.store import Store

    store = Store(url, create=migrate)
    if migrate:
        store.migrate()
    store.check()
    return store
