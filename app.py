"""What gunicorn loads: ``gunicorn --config python:amun.gunicorn_conf app:application``."""

from amun.service import create_app
from amun.settings import Settings

application = create_app(Settings())
