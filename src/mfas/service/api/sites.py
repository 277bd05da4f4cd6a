"""Sites for operators and administrators: policy, states, steps, approvals, the way back, the switch to freeze."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Body, Path, Query, Response

from mfas.errors import InputError
from mfas.service.api.access import AdminCaller, Caller, JsonBody, KnownSite, OperateCaller, Running, SiteName
from mfas.service.api.errors import ApiError, documented
from mfas.service.api.site_schemas import (
    ApprovalAnswer,
    CanaryAnswer,
    Erased,
    Rollback,
    SiteAnswer,
    SiteSettings,
    StateAnswer,
    StepAnswer,
    Subject,
    Verdict,
)
from mfas.service.running import Service
from mfas.service.store import Policy, Site, StoreError
from mfas.service.store.types import DEFAULT_RETENTION_DAYS

routes = APIRouter(prefix="/v1/sites", tags=["sites"])
StateId = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the state's tensors.")]
Limit = Annotated[int, Query(ge=1, le=1000)]
Before = Annotated[int | None, Query(ge=1, le=2**62, description="Continue before this ledger number.")]
_SEEN = documented(401, 403, 404, 422)
_DONE = documented(401, 403, 404, 409, 413, 415, 422)


@routes.get("", responses=documented(401, 403, 422))
async def sites(caller: OperateCaller, service: Running) -> list[SiteAnswer]:
    """Sites the key may see, by name."""
    found = await service.in_thread(service.store.sites)
    bound = caller.key.site if caller.key is not None else None
    return [SiteAnswer.model_validate(site) for site in found if bound in (None, site.name)]


@routes.get("/{site}", responses=_SEEN)
async def one_site(_: OperateCaller, site: KnownSite) -> SiteAnswer:
    """One site."""
    return SiteAnswer.model_validate(site)


@routes.put("/{site}", responses={**_DONE, 201: {"model": SiteAnswer, "description": "The site is new."}})
async def set_site(
    site: SiteName, settings: SiteSettings, caller: AdminCaller, _: JsonBody, service: Running, response: Response
) -> SiteAnswer:
    """Make a site, or change its policy and retention."""
    new, found = await service.in_thread(partial(_set_site, service, site, settings, caller.name))
    response.status_code = 201 if new else 200
    return SiteAnswer.model_validate(found)


def _set_site(service: Service, name: str, settings: SiteSettings, by: str) -> tuple[bool, Site]:
    store = service.store
    policy = None if settings.policy is None else Policy(settings.policy)
    if policy not in (None, Policy.OFF):
        _let_learn(service)
    if name not in {site.name for site in store.sites()}:
        days = settings.retention_days or DEFAULT_RETENTION_DAYS
        return True, store.add_site(name, policy or Policy.OFF, days, by)
    if policy is not None:
        store.set_policy(name, policy, by)
    if settings.retention_days is not None:
        store.set_retention(name, settings.retention_days, by)
    return False, store.site(name)


def _let_learn(service: Service) -> None:
    """Refuse before anything is written what this process could not do."""
    try:
        service.adaptation.open()
    except InputError as reason:
        logging.getLogger("mfas.service").warning("adaptation cannot begin: %s", reason)
        raise ApiError(409, "no_adaptation", "this service cannot adapt: its log says what it lacks") from None


@routes.get("/{site}/states", responses=_SEEN)
async def states(_: OperateCaller, site: KnownSite, service: Running, limit: Limit = 100) -> list[StateAnswer]:
    """Adapted states, newest first."""
    found = await service.in_thread(lambda: service.store.states(site.name, limit=limit))
    return [StateAnswer.model_validate(state) for state in found]


@routes.get("/{site}/steps", responses=_SEEN)
async def steps(
    _: OperateCaller, site: KnownSite, service: Running, limit: Limit = 100, before: Before = None
) -> list[StepAnswer]:
    """What the site's shadow made of captures, newest first."""
    found = await service.in_thread(lambda: service.store.steps(site.name, limit=limit, before=before))
    names = [name for name in StepAnswer.model_fields if name != "seq"]
    return [StepAnswer(seq=seq, **{name: getattr(step, name) for name in names}) for seq, step in found]


@routes.get("/{site}/approvals", responses=_SEEN)
async def approvals(_: OperateCaller, site: KnownSite, service: Running, limit: Limit = 100) -> list[ApprovalAnswer]:
    """What people did to the site, newest first."""
    found = await service.in_thread(lambda: service.store.approvals(site.name, limit=limit))
    return [ApprovalAnswer.model_validate(one) for one in found]


@routes.get("/{site}/states/{state}/canary", responses=_SEEN)
async def canary(state: StateId, _: OperateCaller, site: KnownSite, service: Running) -> list[CanaryAnswer]:
    """What canaries showed of a state when it was a candidate."""
    await service.in_thread(partial(_of_site, service, site.name, state))
    found = await service.in_thread(lambda: service.store.canary_changes(state))
    return [CanaryAnswer.model_validate(change) for change in found]


@routes.post("/{site}/states/{state}/approve", responses=_DONE)
async def approve(
    state: StateId, verdict: Verdict, caller: OperateCaller, site: KnownSite, service: Running, _: JsonBody
) -> SiteAnswer:
    """Put the candidate that waits in force."""
    await service.in_thread(partial(_of_site, service, site.name, state))
    return await _done(service, lambda: service.store.approve(site.name, state, caller.name, verdict.reason))


@routes.post("/{site}/states/{state}/reject", responses=_DONE)
async def reject(
    state: StateId, verdict: Verdict, caller: OperateCaller, site: KnownSite, service: Running, _: JsonBody
) -> SiteAnswer:
    """Drop the candidate that waits."""
    await service.in_thread(partial(_of_site, service, site.name, state))
    return await _done(service, lambda: service.store.reject(site.name, state, caller.name, verdict.reason))


@routes.post("/{site}/rollback", responses=_DONE)
async def rollback(
    order: Rollback, caller: OperateCaller, site: KnownSite, service: Running, _: JsonBody
) -> SiteAnswer:
    """Put an earlier state, or the source model, in force again."""
    return await _done(service, lambda: service.store.rollback(site.name, caller.name, order.to, order.reason))


@routes.post("/{site}/freeze", responses=_DONE)
async def freeze(verdict: Verdict, caller: OperateCaller, site: KnownSite, service: Running, _: JsonBody) -> SiteAnswer:
    """Let the site learn nothing from now on; what is in force goes on serving."""
    return await _done(service, lambda: service.store.freeze(site.name, caller.name, verdict.reason))


@routes.post("/{site}/unfreeze", responses=_DONE)
async def unfreeze(
    verdict: Verdict, caller: OperateCaller, site: KnownSite, service: Running, _: JsonBody
) -> SiteAnswer:
    """Let the site learn again."""
    return await _done(service, lambda: service.store.unfreeze(site.name, caller.name, verdict.reason))


@routes.delete("/{site}/subjects", responses=_DONE)
async def erase(
    order: Annotated[Subject, Body()], caller: AdminCaller, site: KnownSite, service: Running, _: JsonBody
) -> Erased:
    """Erase what is kept of a subject, by pseudonym."""
    return await service.in_thread(partial(_erase, service, site.name, order.subject, caller))


def _erase(service: Service, site: str, subject: str, caller: Caller) -> Erased:
    hidden = service.secret.pseudonym(site, "subject", subject)
    return Erased.model_validate(service.store.delete_subject(site, hidden, caller.name))


def _of_site(service: Service, site: str, state: str) -> None:
    """`ApiError` unless the state is one of this site's; those of other sites are not there."""
    try:
        found = service.store.state(state)
    except StoreError:
        found = None
    if found is None or found.site != site:
        raise ApiError(404, "unknown_state", "there is no such state at this site")


async def _done(service: Service, change: Callable[[], Site]) -> SiteAnswer:
    return SiteAnswer.model_validate(await service.in_thread(change))
