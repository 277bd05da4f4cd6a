"""The answer of a decision record: one sentence whose every word is a key or a value of the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHOWN = 3
"""Decimals of a number in the sentence."""


def sentence(record: Mapping[str, Any]) -> str:
    """The sentence of a record in JSON form; its own ``answer`` is not read.

    Names are spelt with spaces for underscores, numbers with three decimals. Nothing else is put in: no word of it can
    say what the record does not.
    """
    policy, use, risk = record["policy"], record["modality"], record["risk"]
    parts = [f"because {policy['because']}", *_numbers(record["evidence"], policy)]
    parts += [f"{key} {', '.join(use[key])}" for key in ("present", "missing") if use[key]]
    parts += [f"{_drawn(key, use[key])}" for key in ("substituted", "enhanced") if use[key]]
    parts += _flags(record["evidence"])
    if risk is not None and policy["action"] != "accept":
        likely = risk["most_likely"]
        parts.append(f"most likely {_words(likely)} {_number(risk['families'][likely])}")
    text = f"{_words(policy['action'])} {'; '.join(parts)}."
    return text[0].upper() + text[1:]


def _numbers(evidence: Mapping[str, Any] | None, policy: Mapping[str, Any]) -> list[str]:
    found = []
    if evidence is not None and evidence["score"] is not None:
        found.append(f"score {_number(evidence['score'])}")
    if policy["threshold"] is not None:
        found.append(f"threshold {_number(policy['threshold'])}")
    if policy["band"] is not None:
        found.append(f"band {', '.join(map(_number, policy['band']))}")
    return found


def _drawn(key: str, used: Mapping[str, Mapping[str, Any]]) -> str:
    return f"{key} " + ", ".join(f"{m} drawn from {', '.join(one['drawn_from'])}" for m, one in used.items())


def _flags(evidence: Mapping[str, Any] | None) -> list[str]:
    seen = {} if evidence is None else evidence["modalities"]
    told = [f"{m} {_words(flag)}" for m, one in seen.items() for flag in one["flags"]]
    return [f"flags {', '.join(told)}"] if told else []


def _number(value: float) -> str:
    return f"{value:.{_SHOWN}f}"


def _words(name: str) -> str:
    return name.replace("_", " ")
