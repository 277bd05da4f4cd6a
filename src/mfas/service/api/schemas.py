"""What goes in and out as JSON. Types are strict: a number is a number, and no text is ever taken for one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from mfas.data.box import BOX_PATTERN, FULL, parse_box
from mfas.errors import InputError
from mfas.export.record import DecisionRecord
from mfas.service.deciding import Outcome

PSEUDONYM = r"^[ -~]{1,128}$"
BOX_TEXT = rf"^({FULL})?$|{BOX_PATTERN}"
Pseudonym = Annotated[str, StringConstraints(pattern=PSEUDONYM, max_length=128)]
Reason = Annotated[str, StringConstraints(max_length=500)]
DepthKind = Literal["metric", "relative_near_bright", "relative_far_bright"]


class Strict(BaseModel):
    """What callers send: unknown keys and loose types are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class CaptureFields(Strict):
    """What is said of one capture beside its images."""

    depth_scale_m: float = Field(0.001, gt=0, le=1, allow_inf_nan=False, description="Metres per unit of depth.")
    depth_kind: DepthKind = "metric"
    box: str = Field(
        "",
        max_length=100,
        pattern=BOX_TEXT,
        description="Face box `x,y,w,h` in pixels of the image as it is shown (after its EXIF orientation), `full` if "
        "the images are crops of the face; empty = the face is looked for.",
    )
    subject: Pseudonym | None = Field(None, description="Pseudonym of the person shown or claimed.")
    device: Pseudonym | None = Field(None, description="Pseudonym of the device.")
    session: Pseudonym | None = Field(None, description="Pseudonym of the session.")
    nonce: Pseudonym | None = Field(None, description="Used once at a site; a second time is refused with 409.")

    @field_validator("box")
    @classmethod
    def _box(cls, text: str) -> str:
        try:
            parse_box(text)
        except InputError:
            raise ValueError("expected x,y,w,h of positive width and height, 'full' or nothing") from None
        return text


class DecisionAnswer(BaseModel):
    """What is said of a capture. `no_face` and `cannot_judge` are answers: the request was in order."""

    request_id: str = Field(description="Finds the decision again.")
    outcome: Outcome
    reason: str | None = Field(description="Why there is no score; null when `outcome` is `scored`.")
    decision: Literal["bona_fide", "attack"] | None = Field(description="Null unless `outcome` is `scored`.")
    score: float | None = Field(description="In [0, 1], higher = more bona fide; three digits. Null when withheld.")
    threshold: float | None = Field(description="`bona_fide` if and only if the unrounded score reaches it.")
    threshold_id: str | None = Field(description="Card of the model, and the missing modalities it was made for.")
    modality_scores: dict[str, float] = Field(description="Of each modality that was observed; empty when withheld.")
    uncertainty: float | None = Field(description="In [0, 1]. Null when withheld.")
    substituted: list[str] = Field(description="Modalities for which a complementary feature stood in.")
    present: str = Field(description="Modalities that were used, such as `rgb,ir`.")
    missing: str = Field(description="Modalities that were not there.")
    model: str = Field(description="Name of the architecture.")
    model_id: str = Field(description="SHA-256 of the model's card.")
    state_id: str = Field(description="`source`, or the adapted state in force at the site.")
    notice: str | None = Field(description="What the model's makers want told with every answer.")
    record: DecisionRecord = Field(description="Why: evidence, modality, risk, policy, and the answer in a sentence.")


class BatchAnswer(BaseModel):
    """Answers in the order of the captures."""

    request_id: str
    decisions: list[DecisionAnswer]


class StoredAnswer(BaseModel):
    """A decision as it is kept; pseudonyms as keyed hashes."""

    model_config = ConfigDict(from_attributes=True)

    request_id: str
    site: str
    key_id: str | None
    time: datetime
    outcome: Outcome
    reason: str | None
    decision: str | None
    score: float | None
    threshold: float | None
    threshold_id: str | None
    modality_scores: dict[str, float]
    uncertainty: float | None
    substituted: list[str]
    present: str
    missing: str
    model_id: str
    state_id: str
    subject: str | None
    device: str | None
    session: str | None
    record: DecisionRecord | None = Field(description="As kept; null for decisions from before records were.")

    @field_validator("substituted", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return list(value) if isinstance(value, tuple) else value
