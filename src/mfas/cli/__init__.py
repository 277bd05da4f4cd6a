"""The command line: one verb, one plain function. Everything heavy is imported inside the verb that needs it."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import typer

from mfas._console import fail
from mfas.cli.audit import audit_app
from mfas.cli.data import data_app
from mfas.cli.verbs import app
from mfas.errors import MfasError
from mfas.service.verbs import keys_app, ledger_app, store_app

app.add_typer(data_app, name="data")
app.add_typer(audit_app, name="audit")
app.add_typer(ledger_app, name="ledger")
app.add_typer(keys_app, name="keys")
app.add_typer(store_app, name="store")

_UsageError: Any = typer.BadParameter.__mro__[1]
"""A wrong option or argument; typer does not name this class in the same place in every version."""


def _refuse(error: Any) -> NoReturn:
    sentence = error.format_message().strip().rstrip(".")
    if "\n" in sentence:  # the help text, for a command line that names nothing
        error.show()
        raise SystemExit(2)
    path = error.ctx.command_path if error.ctx else "mfas"
    fail(f"{sentence[:1].lower()}{sentence[1:]}; see {path} --help")


def main() -> None:
    """Entry point: errors a user can meet become one sentence and exit code 2."""
    try:
        code = app(prog_name="mfas", standalone_mode=False)
    except MfasError as error:
        fail(str(error))
    except _UsageError as error:
        _refuse(error)
    except KeyboardInterrupt:
        sys.stderr.write("mfas: interrupted\n")
        raise SystemExit(130) from None
    raise SystemExit(code if isinstance(code, int) else 0)
