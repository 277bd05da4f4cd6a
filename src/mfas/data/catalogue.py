"""What every statistic of an audit is called and means, and which of them are physical cues."""

from __future__ import annotations

from dataclasses import dataclass

from mfas.core import MODALITIES


@dataclass(frozen=True, slots=True)
class Statistic:
    """One number per capture. ``physical``: an attack may rightly differ in it, so no limit applies."""

    name: str
    meaning: str
    unit: str = ""
    physical: bool = False


_FILE = (
    ("bytes", "size of the {} file", "bytes"),
    ("bytes_per_pixel", "size of the {} file over its pixels", "bytes"),
    ("width", "width of the {} image", "px"),
    ("height", "height of the {} image", "px"),
    ("aspect", "width over height of the {} image", ""),
    ("lossy", "{} file is compressed with loss (JPEG, WebP)", ""),
    ("present", "capture has {}", ""),
)
_NAMES = dict(zip(MODALITIES, ("RGB", "depth", "IR"), strict=True))

STATISTICS: tuple[Statistic, ...] = (
    Statistic("rgb_sharpness", "sharpness of RGB (Laplacian variance over variance)"),
    Statistic("rgb_exposure", "mean level of RGB", "of full scale"),
    Statistic("rgb_contrast", "standard deviation of RGB", "of full scale"),
    Statistic("rgb_colour_cast", "mean of red over mean of blue"),
    Statistic("rgb_border", "mean level of the RGB border", "of full scale"),
    Statistic("rgb_border_spread", "standard deviation of the RGB border", "of full scale"),
    Statistic("rgb_dark_border", "share of near-black pixels in the RGB border"),
    Statistic("depth_dark_border", "share of missing pixels in the depth border"),
    Statistic("depth_missing", "share of missing depth in the face crop"),
    Statistic("depth_distance", "median distance of the middle third", "m"),
    Statistic("ir_sharpness", "sharpness of IR (Laplacian variance over variance)"),
    Statistic("ir_median", "median level of the whole IR image", "of full scale"),
    Statistic("ir_saturated", "share of saturated IR pixels"),
    Statistic("ir_dark_border", "share of near-black pixels in the IR border"),
    *(Statistic(f"{m.value}_{name}", text.format(_NAMES[m]), unit) for m in MODALITIES for name, text, unit in _FILE),
    Statistic("box_given", "the manifest has a face box"),
    Statistic("box_height", "height of the face box", "px"),
    Statistic("box_x", "middle of the face box, across", "of the width"),
    Statistic("box_y", "middle of the face box, down", "of the height"),
    Statistic("box_aspect", "width over height of the face box"),
    Statistic("timestamp", "time of the capture", "s"),
    Statistic("position", "row in the manifest"),
    Statistic("capture_order", "alphabetical place of capture_id"),
    Statistic("presentation_order", "alphabetical place of presentation_id"),
    Statistic("session_order", "alphabetical place of session"),
    Statistic("subject_order", "alphabetical place of the subject's name"),
    Statistic("captures_per_presentation", "captures of the presentation"),
    Statistic("depth_relief", "relief of the middle third, 5th to 95th percentile", "mm", physical=True),
    Statistic("depth_plane", "relief of the middle third about the plane of best fit", "mm", physical=True),
    Statistic("depth_noise", "depth noise in the middle third about a 1.5 px Gaussian", "mm", physical=True),
    Statistic("depth_missing_middle", "share of missing depth in the middle third", "", physical=True),
    Statistic("ir_middle", "median IR level of the middle third (a screen is dark)", "of full scale", physical=True),
    Statistic("ir_p99", "99th percentile of IR in the face crop", "of full scale", physical=True),
    Statistic("ir_background_share", "IR level of the crop's border over that of its middle", "", physical=True),
)
"""In the order they are told, those with a limit first."""
