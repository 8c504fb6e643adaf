"""The disclosure report as JSON, for programs and for other people's pages, and the JSON Schema of it.

It says what text and page say (``minute``, ``findings``, ``sections``), what programs want apart (``matrix``,
``leakage``, ``losses``, ``messages``), and the specification itself, so that nothing of it is left out.
"""

from typing import Any, Final

from pets.check.blocks import Block, Cases, Code, Grid, Marks, Pairs, Picture, Points, Section, Text
from pets.check.checked import Checked
from pets.check.declared import Declared
from pets.check.labels import Mark
from pets.check.report import found_declared, report
from pets.spec.canonical import spec_json

FORMAT: Final = 1
"""Version of the report's JSON form."""
SCHEMA_ID: Final = f"urn:pets:report:{FORMAT}"

# -- the form ---------------------------------------------------------------------------------------------------------


def to_json(review: Checked) -> dict[str, object]:
    """What ``pets check --json`` prints. It fulfils ``json_schema``; same review, same value."""
    verdict, found = review.verdict, found_declared(review)
    what = report(review, found)
    validity = review.spec.validity
    return {
        "report": FORMAT,
        "title": what.title,
        "accepted": what.accepted,
        "state": what.state,
        "verdict": what.verdict,
        "digest": review.digest,
        "plan_digest": review.plan_digest,
        "validity": {
            "not_before": validity.not_before.isoformat(),
            "not_after": validity.not_after.isoformat(),
            "max_runs": validity.max_runs,
            "schedule": validity.schedule,
        },
        "minute": [{"question": question, "answer": answer} for question, answer in what.minute],
        "findings": [f.to_json() for f in verdict.findings],
        "matrix": verdict.matrix.to_json(),
        "checkers": list(review.checkers),
        "leakage": _leakage(found) if found else None,
        "losses": {
            name: {
                "epsilon": str(loss.epsilon),
                "delta": str(loss.delta),
                **({"rho": str(loss.rho)} if loss.rho else {}),
            }
            for name, loss in verdict.losses.items()
        },
        "messages": [
            {"round": m.round, "from": m.sender, "to": m.receiver, "label": m.label, "bytes": m.size}
            for m in (review.forecast.messages if review.forecast else ())
        ],
        "sections": [_section(number, s) for number, s in what.numbered if s.id not in ("matrix", "fields")],
        "omitted": [{"field": path, "values": count} for path, count in what.omitted],
        "specification": spec_json(review.spec),
    }


def _leakage(found: Declared) -> dict[str, object]:
    return {
        "items": [
            {
                "who": list(each.who),
                "item": each.item,
                "words": each.words,
                "computed": each.computed.value,
                "declared": each.declared.value,
                "places": list(each.places),
                "terms": each.terms,
                "covered": each.covered,
            }
            for each in found.items
        ],
        "marks_checked": found.cells,
        "marks_not_covered": list(found.bare),
        "whole": found.whole,
    }


def _section(number: str, section: Section) -> dict[str, object]:
    return {
        "id": section.id,
        "number": number,
        "title": section.title,
        "question": section.question,
        "blocks": [block for each in section.blocks if (block := _block(each))],
    }


def _block(block: Block) -> dict[str, object] | None:
    """A part as an object with its kind. The matrix has a place of its own."""
    match block:
        case Text(text):
            return {"kind": "text", "text": text}
        case Points(title, points, tone):
            return {"kind": "points", "title": title, "points": list(points), "tone": tone}
        case Pairs(pairs):
            return {"kind": "pairs", "pairs": [list(pair) for pair in pairs]}
        case Cases(title, cases, tone):
            return {"kind": "cases", "title": title, "cases": [c.to_json() for c in cases], "tone": tone}
        case Grid(caption, head, rows):
            return {"kind": "grid", "caption": caption, "head": list(head), "rows": [list(row) for row in rows]}
        case Code(caption, text):
            return {"kind": "code", "caption": caption, "text": text}
        case Picture(caption, boxes, flows):
            return {
                "kind": "picture",
                "caption": caption,
                "boxes": [{"role": role, "party": party, "what": what} for role, party, what in boxes],
                "flows": [{"from": f.sender, "to": f.receiver, "bytes": f.size, "what": f.what} for f in flows],
            }
        case Marks():
            return None


# -- its schema -------------------------------------------------------------------------------------------------------

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_COUNT: Final[dict[str, Any]] = {"type": "integer", "minimum": 0}
_DIGEST: Final[dict[str, Any]] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_MARK: Final[dict[str, Any]] = {"enum": [mark.value for mark in Mark]}
_TONE: Final[dict[str, Any]] = {"enum": ["plain", "good", "warn", "bad"]}


def _object(said: str = "", /, **properties: Any) -> dict[str, Any]:
    """An object with exactly these properties."""
    body = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"description": said, **body} if said else body


def _list(items: dict[str, Any], said: str = "") -> dict[str, Any]:
    return {"type": "array", "items": items} | ({"description": said} if said else {})


def _kind(name: str, **properties: dict[str, Any]) -> dict[str, Any]:
    return _object(kind={"const": name}, **properties)


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of ``pets check --json``; deterministic.

    A text that is no specification gets the second form: not accepted, no digest, findings.
    """
    finding = _object(
        "What a rule says. path: the place, or the way from what is refused back to its column. "
        "Of a legal rule also what it rests on, and whether a competent person has signed it",
        rule=_TEXT,
        severity={"enum": ["error", "warning", "note"]},
        path=_TEXT,
        message=_TEXT,
        hint=_TEXT,
    )
    finding["properties"] |= {"citation": _TEXT, "standing": _TEXT}
    column = _object(
        "Parties that put together what they see", label=_TEXT, parties=_list(_TEXT), beyond_model={"type": "boolean"}
    )
    row = _object("A value", value=_TEXT, kind=_TEXT, cells={"type": "object", "additionalProperties": _MARK})
    matrix = _object(
        "Who learns what: a mark for every value and every party or coalition",
        marks={"type": "object", "propertyNames": _MARK, "additionalProperties": _TEXT},
        columns=_list(column),
        rows=_list(row),
    )
    item = _object(
        who=_list(_TEXT),
        item=_TEXT,
        words=_TEXT,
        computed=_MARK,
        declared=_MARK,
        places=_list(_TEXT, "where the specification declares it"),
        terms=_TEXT,
        covered={"type": "boolean"},
    )
    leakage = _object(
        "Declared against computed, item by item",
        items=_list(item),
        marks_checked=_COUNT,
        marks_not_covered=_list(_TEXT),
        whole={"type": "boolean"},
    )
    flow = {"from": _TEXT, "to": _TEXT, "bytes": _COUNT}
    block = {
        "oneOf": [
            _kind("text", text=_TEXT),
            _kind("points", title=_TEXT, points=_list(_TEXT), tone=_TONE),
            _kind("pairs", pairs=_list({"type": "array", "items": _TEXT, "minItems": 2, "maxItems": 2})),
            _kind("cases", title=_TEXT, cases=_list({"$ref": "#/$defs/finding"}), tone=_TONE),
            _kind("grid", caption=_TEXT, head=_list(_TEXT), rows=_list(_list(_TEXT))),
            _kind("code", caption=_TEXT, text=_TEXT),
            _kind(
                "picture",
                caption=_TEXT,
                boxes=_list(_object(role=_TEXT, party=_TEXT, what=_TEXT)),
                flows=_list(_object(**flow, what=_TEXT)),
            ),
        ]
    }
    loss = _object("Exact quantities as text; rho where there is one", epsilon=_TEXT, delta=_TEXT, rho=_TEXT)
    loss["required"].remove("rho")
    section = _object(id=_TEXT, number=_TEXT, title=_TEXT, question=_TEXT, blocks=_list({"$ref": "#/$defs/block"}))
    whole = _object(
        "The report on a specification",
        report={"const": FORMAT},
        title=_TEXT,
        accepted={"type": "boolean"},
        state=_TEXT,
        verdict=_TEXT,
        digest=_DIGEST,
        plan_digest=_or_null(_DIGEST),
        validity=_object(
            not_before={"type": "string", "format": "date"},
            not_after={"type": "string", "format": "date"},
            max_runs=_COUNT,
            schedule=_or_null(_TEXT),
        ),
        minute=_list(_object(question=_TEXT, answer=_TEXT), "the box at the top"),
        findings=_list({"$ref": "#/$defs/finding"}),
        matrix=matrix,
        checkers=_list(_TEXT, "who came to this matrix, each by itself"),
        leakage=_or_null(leakage),
        losses={"type": "object", "additionalProperties": loss, "description": "what one run charges each dataset"},
        messages=_list(_object(round=_COUNT, label=_TEXT, **flow), "all messages of a run, in order"),
        sections=_list({"$ref": "#/$defs/section"}, "the report in the order of the Five Safes"),
        omitted=_list(_object(field=_TEXT, values=_COUNT), "fields that text and page do not write out in full"),
        specification={"type": "object", "description": "the specification; pets schema spec"},
    )
    unread = _object(
        "A text that is no specification",
        accepted={"const": False},
        digest={"type": "null"},
        findings=_list({"$ref": "#/$defs/finding"}),
        matrix=matrix,
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "pets disclosure report",
        "oneOf": [whole, unread],
        "$defs": {"finding": finding, "section": section, "block": block},
    }
