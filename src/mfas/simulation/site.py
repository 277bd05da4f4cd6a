"""A site: the place, its sensors, its people and its attackers, as one YAML file."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from mfas.config import Config, parse, read_yaml
from mfas.errors import ConfigError
from mfas.simulation.faults import Faults
from mfas.simulation.ranges import AmountRange, PositiveRange, Range, ShareRange
from mfas.simulation.sensors import ActiveStereo, NirCamera, RgbCamera, StructuredLight, TimeOfFlight


class Lighting(Config):
    """Visible light of the place; pairs are ranges drawn per presentation."""

    ambient: AmountRange = Field(default=(0.4, 0.8), description="hemisphere light, relative")
    key: AmountRange = Field(default=(0.3, 0.9), description="one directed light, relative")
    azimuth_deg: Range = Field(
        default=(-70.0, 70.0), description="key light: 0 = behind the camera, positive = from the right"
    )
    elevation_deg: Range = Field(default=(10.0, 60.0))
    kelvin: PositiveRange = Field(
        default=(3200.0, 6000.0), description="colour temperature after the camera's white balance at 5000"
    )
    softness: float = Field(default=0.5, ge=0, le=1)
    shadow: float = Field(default=0.6, ge=0, le=1)


class Background(Config):
    """What stands behind the person."""

    distance_mm: PositiveRange = Field(default=(900.0, 2200.0), description="from the person to the wall")
    clutter: float = Field(default=0.5, ge=0, le=1, description="0 = a bare wall, 1 = shelves, doors, windows")
    brightness: ShareRange = (0.1, 0.6)
    colour: float = Field(default=0.3, ge=0, le=1, description="saturation of walls and things")


class Pose(Config):
    """Standard deviations of the head's pose, and of its movement within a clip."""

    yaw_deg: float = Field(default=9.0, ge=0)
    pitch_deg: float = Field(default=6.0, ge=0)
    roll_deg: float = Field(default=3.5, ge=0)
    shake_deg: float = Field(default=1.2, ge=0, description="how far it drifts about that within a clip, degrees")


class Population(Config):
    """Who comes: ``tones`` are weights of Fitzpatrick I to VI; ``expression`` scales how much faces move."""

    tones: tuple[float, float, float, float, float, float] = (1, 1, 1, 1, 1, 1)
    expression: float = Field(default=0.5, ge=0, le=1)


class SpeciesMix(Config):
    """One attack species of a site: its share of the attacks, and its range of quality (0 careless, 1 careful)."""

    share: float = Field(gt=0, le=1)
    quality: ShareRange = (0.0, 1.0)


class Site(Config):
    """Everything that makes one place differ from another. Unknown keys are refused by name."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    description: str = ""
    resolution: int = Field(default=112, ge=48, le=512, description="side of the square images, pixels")
    subjects: int = Field(default=60, ge=5)
    captures_per_presentation: int = Field(default=3, ge=1, le=100)
    bona_fide_share: float = Field(default=0.5, ge=0, le=1)
    distance_mm: PositiveRange = (550.0, 800.0)
    face_fraction: PositiveRange = Field(default=(0.5, 0.66), description="face height over image height")
    box_jitter: float = Field(
        default=0.05, ge=0, le=0.3, description="standard deviation of the detector, of the face height"
    )
    light: Lighting = Lighting()
    background: Background = Background()
    pose: Pose = Pose()
    population: Population = Population()
    rgb: RgbCamera = RgbCamera()
    depth: Annotated[StructuredLight | TimeOfFlight | ActiveStereo, Field(discriminator="kind")]
    nir: NirCamera = NirCamera()
    faults: Faults = Faults()
    species: dict[str, SpeciesMix]

    @field_validator("species")
    @classmethod
    def _shares(cls, value: dict[str, SpeciesMix]) -> dict[str, SpeciesMix]:
        from mfas.simulation.species import species_names

        for name in value:
            if name not in species_names():
                raise ValueError(f"unknown species '{name}', expected one of {', '.join(species_names())}")
        total = sum(mix.share for mix in value.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"expected shares that add up to 1, they add up to {total:g}")
        return value

    @model_validator(mode="after")
    def _population(self) -> Site:
        if sum(self.population.tones) <= 0 or min(self.population.tones) < 0:
            raise ValueError("expected population.tones as weights of 0 or more, not all 0")
        return self


def site_names() -> tuple[str, ...]:
    """Names of the built-in sites."""
    folder = resources.files("mfas.simulation") / "sites"
    return tuple(sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")))


def load_site(name_or_path: str | Path) -> Site:
    """Read a site from a YAML file, a built-in one by name, or ``random:N``, drawn from seed N.

    Raises `ConfigError` naming the faulty key.
    """
    from mfas.simulation.randomise import PREFIX, random_site, seed_of_name

    text = str(name_or_path)
    if text.startswith(PREFIX):
        return random_site(seed_of_name(text))
    if not text.endswith((".yaml", ".yml")):
        if text not in site_names():
            raise ConfigError(
                f"unknown site '{text}', expected one of {', '.join(site_names())}, random:NUMBER, or a YAML file"
            )
        with resources.as_file(resources.files("mfas.simulation") / "sites" / f"{text}.yaml") as path:
            return parse(Site, read_yaml(path), f"site '{text}'")
    return parse(Site, read_yaml(Path(text)), text)
