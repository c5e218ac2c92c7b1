"""What gunicorn loads: the application that the settings describe."""

from __future__ import annotations

from amun.composition import create_app
from amun.settings import Settings

application = create_app(Settings())
