"""Fails the build when the docs and the code differ: tables of settings, and the list of public names.

A table after a line ``<!-- defaults: mfas.module.Class -->`` has rows ``| `key` | `default` | meaning |``: it must name
every field of that configuration, and each default, read as YAML, must be the code's. A field that is itself a
configuration may say anything; a required one says ``required``. A page with ``<!-- public names -->`` must have a row
``| `name` |`` for each name of ``mfas.__all__`` and for no other.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx
from sphinx.util import logging

import mfas

_TABLE = re.compile(r"<!-- defaults: ([\w.]+) -->\n\n((?:\|.*\n)+)")
_ROW = re.compile(r"^\| `(\w+)` \| (.*?) \|", re.MULTILINE)
_LOGGER = logging.getLogger(__name__)


def check(app: Sphinx, docname: str, source: list[str]) -> None:
    """Compare every marked table of a page with the code; differences are warnings."""
    del app
    for name, table in _TABLE.findall(source[0]):
        for fault in faults(name, dict(_ROW.findall(table))):
            _LOGGER.warning("%s: %s", name, fault, location=docname)
    if "<!-- public names -->" in source[0]:
        listed = set(re.findall(r"^\| `(\w+)` \|", source[0], re.MULTILINE))
        for name in sorted(listed ^ set(mfas.__all__)):
            _LOGGER.warning("'%s' stands in mfas.__all__ or on this page, not in both", name, location=docname)


def faults(name: str, rows: dict[str, str]) -> list[str]:
    """What differs between the rows of a table and the configuration ``name``, one sentence each."""
    module, _, cls = name.rpartition(".")
    fields: dict[str, FieldInfo] = getattr(importlib.import_module(module), cls).model_fields
    found = [f"the table has '{key}', the code has not" for key in rows if key not in fields]
    for key, field in fields.items():
        if key not in rows:
            found.append(f"the code has '{key}', the table has not")
        elif field.is_required():
            if rows[key] != "required":
                found.append(f"'{key}' is required, the table says {rows[key]}")
        elif not isinstance(field.get_default(call_default_factory=True), BaseModel):
            value = plain(field.get_default(call_default_factory=True))
            if yaml.safe_load(rows[key].strip("`")) != value:
                found.append(f"'{key}' is {value!r} in the code, the table says {rows[key]}")
    return found


def plain(value: Any) -> Any:
    """A default as YAML reads it."""
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, (dict, bool, int, float, type(None))) else str(value)


def setup(app: Sphinx) -> dict[str, bool]:
    """Entry point of the extension."""
    app.connect("source-read", check)
    return {"parallel_read_safe": True}
