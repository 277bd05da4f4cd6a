"""The public names: all there, all documented, none of them costing anything until used."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import mfas

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference.md"


@pytest.mark.parametrize("name", mfas.__all__)
def test_every_name_resolves_and_explains_itself(name: str) -> None:
    value = getattr(mfas, name)
    if isinstance(value, type) or callable(value):
        assert value.__doc__
        assert value.__module__.startswith("mfas.")


def test_names_are_sorted_and_listed() -> None:
    assert set(mfas.__all__) <= set(dir(mfas))
    assert len(set(mfas.__all__)) == len(mfas.__all__)


def test_the_reference_lists_exactly_the_public_names() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", REFERENCE.read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(mfas.__all__)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'magic'"):
        mfas.magic  # noqa: B018


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, mfas\nassert not {'torch', 'numpy', 'pydantic', 'mfas.core'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
