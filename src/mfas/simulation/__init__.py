"""The capture simulator: live faces and attacks seen by three sensors at once.

::

    subject ─> head ─┐
                     ├─> scene ─> RGB, depth and infrared sensors ─> images + manifest
    species ─> prop ─┘     (light, distance, background, sensors: the site)

Seams: `heads.HeadSource` (where people come from), `stage.Species` (what is shown), `sensors` (each on its own),
`site.Site` (a YAML file), `faults.Faults` (what goes wrong), `choices` (what an attacker sets). Lengths are
millimetres, angles degrees, images registered.
"""

from __future__ import annotations

from mfas.simulation.choices import Choice, choices
from mfas.simulation.faults import Faults
from mfas.simulation.heads import HeadSource, IctHead, ParametricHead, ScannedHead, open_head
from mfas.simulation.presentation import Capture, Plan, plan, render_presentation
from mfas.simulation.randomise import random_site
from mfas.simulation.simulate import simulate, write_capture
from mfas.simulation.site import Site, load_site, site_names
from mfas.simulation.staged import render_staged
from mfas.simulation.version import SIMULATOR_VERSION

__all__ = [
    "SIMULATOR_VERSION",
    "Capture",
    "Choice",
    "Faults",
    "HeadSource",
    "IctHead",
    "ParametricHead",
    "Plan",
    "ScannedHead",
    "Site",
    "choices",
    "load_site",
    "open_head",
    "plan",
    "random_site",
    "render_presentation",
    "render_staged",
    "simulate",
    "site_names",
    "write_capture",
]
