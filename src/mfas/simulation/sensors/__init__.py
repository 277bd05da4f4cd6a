"""Sensor models, each on its own: arrays in, array out, parameters with units."""

from mfas.simulation.sensors.active_stereo import ActiveStereo
from mfas.simulation.sensors.nir import NirCamera
from mfas.simulation.sensors.rgb import RgbCamera
from mfas.simulation.sensors.structured_light import StructuredLight
from mfas.simulation.sensors.time_of_flight import TimeOfFlight

__all__ = ["ActiveStereo", "NirCamera", "RgbCamera", "StructuredLight", "TimeOfFlight"]
