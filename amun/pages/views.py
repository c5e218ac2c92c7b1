"""The pages: each asks the API for what it shows, and puts it into a template."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from amun.model import identifiers, timestamps

from . import api_client as public
from . import examples, plot_data, timeline_bars, words
from .api_client import Api, Refused
from .curl import Curl
from .rendering import indented, page

ON_A_PAGE = 50
ALSO = 6
"""Verdicts that are told above the table of all."""

TO_PICK = 30
"""Inspections offered to be compared with."""

SHOWN = 20_000
"""Characters of one text of a caller's that a page shows; the whole of it is a link away."""


def _api(request: Request) -> Api:
    return Api(request.app, request)


def _known(inspection_id: str) -> str:
    """The id, if it could be one. Raises `Refused`."""
    if not identifiers.is_valid(inspection_id):
        raise Refused(404, {"error": f"There is no inspection {inspection_id[:100]!r}."})
    return inspection_id


async def inspections(request: Request) -> Response:
    """The list, newest first."""
    asked = {name: request.query_params.get(name) or None for name in ("phase", "identifier")}
    async with _api(request) as api:
        found = await api.get("/inspect", page=request.query_params.get("page", "1"), limit=ON_A_PAGE, **asked)
    number = found["parameters"]["page"]
    filters = {name: value for name, value in asked.items() if value}
    query = urlencode({"limit": ON_A_PAGE, "page": number, **filters})
    return page(
        request,
        "inspections.html",
        found=found,
        number=number,
        pages=max(1, -(-found["total"] // ON_A_PAGE)),
        asked=filters,
        link=lambda other: f"/?{urlencode({**filters, 'page': other})}",
        live=any(each["phase"] not in words.OVER for each in found["items"]),
        curl=[Curl(request).line("This list", f"/inspect?{query}")],
    )


async def inspection(request: Request) -> Response:
    """One inspection: what was asked, where it stands, what came of it."""
    inspection_id = _known(request.path_params["inspection_id"])
    path = public.inspection(inspection_id)
    async with _api(request) as api:
        detail = await api.get(path)
        over = [each["item"] for each in detail["items"] if _has_run(each)]
        summary, report = await asyncio.gather(
            _if(over, lambda: api.find(f"{path}/summary", clean=request.query_params.get("clean"))),
            _if(over, lambda: api.find(public.inspection(inspection_id, "job", over[0], "result"))),
        )
    runs = {run["item"]: run for run in (summary or {}).get("runs", [])}
    return page(
        request,
        "inspection.html",
        id=inspection_id,
        detail=detail,
        status=detail["status"],
        asked=detail["specification"],
        script=_cut(detail["specification"].get("script")),
        whole=_cut(indented(_given(detail["specification"]))),
        rows=timeline_bars.rows(detail.get("timeline") or [], timestamps.now()),
        items=[{**runs.get(each["item"], {}), **each} for each in detail["items"]],
        summary=summary,
        plots=plot_data.of_runs(summary) if summary else [],
        report=(report or {}).get("result"),
        live=detail["status"]["phase"] not in words.OVER,
        clean=request.query_params.get("clean") == "true",
        curl=Curl(request).of_inspection(inspection_id, len(detail["items"])),
    )


async def item(request: Request) -> Response:
    """One run of the script: its report and its log."""
    inspection_id, number = _known(request.path_params["inspection_id"]), request.path_params["item"]
    async with _api(request) as api:
        detail = await api.get(public.inspection(inspection_id))
        state = next((each for each in detail["items"] if each["item"] == number), None)
        if state is None:
            raise Refused(404, {"error": f"Inspection {inspection_id!r} has no item {number}."})
        answer = await _if(_has_run(state), lambda: api.find(public.inspection(inspection_id, "job", number, "result")))
    report = (answer or {}).get("result")
    curl = Curl(request)
    path = public.inspection(inspection_id, "job", number)
    return page(
        request,
        "item.html",
        id=inspection_id,
        item=state,
        report=report,
        texts=_texts(report) if report else [],
        live=state["state"] != "terminated",
        total=len(detail["items"]),
        curl=[
            curl.line("The report", f"{path}/result"),
            curl.line("What it prints, live", f"{path}/log?follow=true", "-N"),
            curl.line("Only its standard error", f"{path}/log?stream=stderr", "-H", "Accept: text/plain"),
        ],
    )


async def compare(request: Request) -> Response:
    """Two or more inspections beside each other; without two, those there are to pick from."""
    picked = list(dict.fromkeys(filter(None, (part.strip() for part in request.query_params.getlist("inspection")))))
    asked = {name: request.query_params.get(name) == "true" for name in ("clean", "allow_unlike")}
    async with _api(request) as api:
        if len(picked) < 2:
            return await _pick(request, api, picked)
        body = {"inspections": picked, **{name: value for name, value in asked.items() if value}}
        try:
            compared = await api.post("/compare", body)
        except Refused as exc:
            if exc.status not in (400, 404, 409, 422):
                raise
            return _not_compared(request, picked, asked, exc)
        paths = [f"{public.inspection(each['inspection_id'])}/summary" for each in compared["inspections"]]
        clean = "true" if asked["clean"] else None
        summaries = await asyncio.gather(*(api.find(path, clean=clean) for path in paths))
    main = _main(compared["metrics"])
    return page(
        request,
        "compare.html",
        compared=compared,
        main=main,
        also=_also(compared["metrics"], main),
        picked=picked,
        asked=asked,
        plots=plot_data.beside(compared, summaries),
        again=_again(picked, asked),
        curl=[Curl(request).line("This comparison", "/compare", document=body)],
    )


def _main(metrics: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The metric that the verdict is of: the first declared, else the wall time, else the first."""
    return min(
        metrics, key=lambda each: 0 if each.get("declared") else 1 if each["path"] == "wall_time" else 2, default=None
    )


def _also(metrics: list[dict[str, Any]], main: object) -> list[str]:
    """What differs in other metrics, for it may be what matters: the verdicts of their pairs, which name them."""
    others = [each for each in metrics if each is not main]
    return [pair["verdict"] for each in others for pair in each["pairs"] if pair["different"]][:ALSO]


async def _pick(request: Request, api: Api, picked: list[str]) -> Response:
    found = await api.get("/inspect", limit=TO_PICK)
    listed = [each for each in found["items"] if each.get("items", {}).get("succeeded", 1)]
    known = {each["inspection_id"] for each in listed}
    return page(
        request, "pick.html", listed=listed, picked=picked, others=[each for each in picked if each not in known]
    )


def _not_compared(request: Request, picked: list[str], asked: dict[str, bool], exc: Refused) -> Response:
    unlike = exc.status == 422
    again = _again(picked, {**asked, "allow_unlike": True}) if unlike else None
    return page(
        request, "not_compared.html", exc.status, picked=picked, error=exc.error, details=exc.details, again=again
    )


def _again(picked: list[str], asked: dict[str, bool]) -> str:
    chosen = [(name, "true") for name, value in asked.items() if value]
    return f"/compare?{urlencode([('inspection', each) for each in picked] + chosen)}"


async def new(request: Request) -> Response:
    """An editor for a specification: empty, with an example, or with that of an inspection."""
    example, origin = request.query_params.get("example"), request.query_params.get("from")
    document: dict[str, Any] = examples.START
    async with _api(request) as api:
        await api.get("/version")  # whoever may not submit is not to find that out at the end
        if origin:
            answer = await api.get(public.inspection(_known(origin), "specification"))
            document = _given(answer["specification"])
    if example in examples.known():
        document = examples.known()[example]
    curl = Curl(request)
    return page(
        request,
        "new.html",
        document=indented(document),
        examples=sorted(examples.known()),
        example=example,
        origin=origin,
        curl=[
            curl.line("A dry run", "/inspect?dry_run=true", "-H", "Content-Type: application/json", "-d", "@file.json"),
            curl.line("Submit", "/inspect", "-H", "Content-Type: application/json", "-d", "@file.json"),
        ],
    )


async def _if(condition: object, ask: Any) -> Any:
    return await ask() if condition else None


def _has_run(state: dict[str, Any]) -> bool:
    return state["state"] == "terminated" and state.get("reason") != "NotStarted"


def _given(document: Any) -> Any:
    """A specification without the fields that say nothing."""
    if isinstance(document, dict):
        return {name: _given(value) for name, value in document.items() if value not in (None, [], {})}
    return document


def _cut(text: str | None) -> dict[str, Any] | None:
    """As much of a text as is shown, and how much is not."""
    return {"text": text[:SHOWN], "more": max(0, len(text) - SHOWN)} if text else None


def _texts(report: dict[str, Any]) -> list[dict[str, Any]]:
    """What the script printed, each part with its name and with what is shown of it."""
    parsed = json.dumps(report["stdout"], ensure_ascii=False, indent=2) if report.get("stdout") else None
    given = (
        ("Result", parsed, None),
        ("Standard output", None if parsed else report.get("stdout_text"), "stdout"),
        ("Standard error", report.get("stderr"), "stderr"),
    )
    cut = report.get("truncated") or {}
    return [
        {"name": name, "stream": stream, "cut": cut.get(stream), **shown}
        for name, text, stream in given
        if (shown := _cut(text))
    ]
