"""A client of Amun's HTTP API."""

from __future__ import annotations

from .client import DEFAULT_URL, Client, ClientError, Document

__all__ = ["DEFAULT_URL", "Client", "ClientError", "Document"]
