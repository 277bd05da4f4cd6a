"""Templates live in the package; output is HTML with everything inline."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined


def render(template: str, **values: Any) -> str:
    """Fill a template of ``templates/``. Values are escaped unless the template marks them safe."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    folder = resources.files("mfas.report") / "templates"
    sources = {item.name: item.read_text(encoding="utf-8") for item in folder.iterdir() if item.is_file()}
    return Environment(
        loader=DictLoader(sources), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
