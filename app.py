"""What gunicorn loads: ``gunicorn --config python:amun.web.gunicorn_conf app:application``."""

from amun.settings import Settings
from amun.web.app import create_app

application = create_app(Settings())
