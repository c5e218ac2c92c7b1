"""What gunicorn loads: ``gunicorn --config python:amun.web.gunicorn_conf app:application``."""

from amun.processes.application import application as application
