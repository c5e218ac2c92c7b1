"""What becomes of an inspection that was just submitted: followed to its end, live or line by line, and its result."""

from __future__ import annotations

import os
import sys

from amun.client import Client, Document

from . import exit_codes
from .console import say, show, show_json
from .exit_codes import Exit
from .follow import Follower
from .results import gather
from .sanitize import plain
from .views import result_view


def see(client: Client, answer: Document, as_json: bool = False, watch: bool = False) -> Exit:
    """Follow to the end and show the result; with `as_json` all but that goes to stderr.

    With `watch` the way there is a live view, if there is a terminal for it.
    """
    inspection_id = str(answer["inspection_id"])
    try:
        if watch and _can_be_live():
            from .watch import watch as to_the_end

            to_the_end(client, inspection_id)
        else:
            say(f"{inspection_id}: submitted")
            Follower(client, inspection_id, logs=sys.stderr if as_json else sys.stdout).follow()
        result = gather(client, inspection_id)
    except KeyboardInterrupt:
        say("")
        say(
            f"No longer following; the inspection goes on. See it with: amun status {inspection_id}, "
            f"amun logs -f {inspection_id}; stop it with: amun cancel {inspection_id}"
        )
        return Exit.INTERRUPTED
    if as_json:
        show_json(result.to_document())
    else:
        show(result_view(result))
    return exit_codes.of_phase(result.phase)


def _can_be_live() -> bool:
    """Whether there is a screen that can be drawn on."""
    return sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def show_accepted(answer: Document, as_json: bool) -> None:
    """The id on stdout, and to a person what to do with it."""
    if as_json:
        show_json(answer)
        return
    inspection_id = plain(answer["inspection_id"])
    sys.stdout.write(inspection_id + "\n")
    if sys.stderr.isatty():
        say(f"Follow it with: amun logs -f {inspection_id}; see how it stands with: amun status {inspection_id}", "dim")
