"""What gunicorn loads: ``gunicorn --config python:amun.web.gunicorn_conf app:application``."""

from amun.composition import create_app
from amun.settings import Settings

application = create_app(Settings())
