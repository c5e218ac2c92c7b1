"""Structured logs: one event a line with its fields, the inspection's id among them; JSON where a program reads."""

from __future__ import annotations

import logging.config
import sys
import warnings
from typing import Any

import structlog

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("amun")

# Until `configure` is called, and where nobody does: standard output belongs to what a command was asked for.
structlog.configure(logger_factory=lambda *names: structlog.PrintLogger(sys.stderr))

SERVERS = ("gunicorn.error", "gunicorn.access", "uvicorn.error", "uvicorn.access")
"""Loggers of the web servers, which have ideas of their own unless they are told."""

CHATTY = ("connexion", "httpx", "uvicorn.access", "uvicorn.error", "urllib3")
"""Loggers whose news nobody needs; requests are counted by the metrics."""


def _steps(as_json: bool) -> list[structlog.typing.Processor]:
    """What every event goes through before it is written, whoever logged it."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([structlog.processors.format_exc_info] if as_json else []),
    ]


def _formatter(as_json: bool) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_steps(as_json),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer() if as_json else _console(),
        ],
    )


def _console() -> structlog.dev.ConsoleRenderer:
    # Without the values of variables: tokens and strangers' scripts are among them.
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.RichTracebackFormatter(show_locals=False))


def _is_json(style: str) -> bool:
    return style == "json" or (style == "auto" and not sys.stderr.isatty())


def configuration(level: str, style: str) -> dict[str, Any]:
    """For `logging.config.dictConfig`, and for gunicorn's setting of that name."""
    servers: dict[str, dict[str, Any]] = {name: {"handlers": [], "propagate": True} for name in SERVERS}
    chatty = {name: {**servers.get(name, {}), "level": "WARNING"} for name in CHATTY}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"amun": {"()": _formatter, "as_json": _is_json(style)}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "amun"}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        "loggers": {**servers, **chatty},
    }


def configure(level: str = "INFO", style: str = "auto") -> None:
    """Set up logging on standard error; `style` is ``json``, ``console`` or ``auto``."""
    # Connexion imports Starlette's test client, whatever for, and that warns of its choice of HTTP library.
    warnings.filterwarnings("ignore", message="Using `httpx` with `starlette.testclient`")
    structlog.configure(
        processors=[*_steps(_is_json(style)), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(configuration(level, style))
