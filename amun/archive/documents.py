"""What the archive's documents say: JSON, and the values that are made of it again."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from amun.errors import ArchiveUnavailable
from amun.model import codec
from amun.model.inspection import Inspection, Observation
from amun.model.specification import Specification


def dump(document: Any) -> bytes:
    """`document` as JSON. Whatever strings are made of, this never fails, or what they are in could never be kept."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")


def parse(content: bytes) -> Any:
    """JSON as a value. Raises `ArchiveUnavailable` for anything else: nobody knows what was kept there."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise ArchiveUnavailable("The archive's document cannot be read.", str(exc)) from exc


def specification(inspection: Inspection) -> bytes:
    """The specification as the original kept it, with the moment at which it came."""
    return dump({**inspection.specification.to_document(), "@created": inspection.created})


def observation(observed: Observation) -> bytes:
    """All that is known of an inspection, complete with its specification."""
    inspection = observed.inspection
    return dump(
        {
            **vars(observed),
            "inspection": {**vars(inspection), "specification": inspection.specification.to_document()},
            "build": asdict(observed.build),
            "items": [asdict(item) for item in observed.items],
        }
    )


def parse_observation(content: bytes) -> Observation:
    """The same back again. What a later version of this service added is left out."""
    document = parse(content)
    try:
        declared = document["inspection"]
        specification = asdict(Specification.from_document(declared["specification"]))
        inspection = codec.restore(Inspection, {**declared, "specification": specification})
        return codec.restore(Observation, {**document, "inspection": inspection})
    except (TypeError, KeyError, ValueError, AttributeError) as exc:
        raise ArchiveUnavailable("The archive's document cannot be read.", repr(exc)) from exc
