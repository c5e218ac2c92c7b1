# The service: API by default, `amun controller` for the controller beside it. It builds and runs nothing by itself
# here: its engine is the cluster it is deployed to.
#
#   podman build --tag amun .
#   podman run --publish 8080:8080 amun

ARG BASE=docker.io/library/python:3.11-slim

FROM ${BASE} AS packages
COPY Pipfile.lock /build/
# micropipenv turns the lock into requirements with hashes; pip then installs them in one call. A build environment
# mounted at /run/amun (certificates, index, proxies of the builder's network) is used and leaves no trace.
RUN set -e; if [ -e /run/amun/environment ]; then . /run/amun/environment; fi; \
    python3 -m venv /build/tools; \
    /build/tools/bin/pip install --quiet --disable-pip-version-check micropipenv; \
    python3 -m venv --without-pip /opt/amun/venv; \
    cd /build; \
    /build/tools/bin/micropipenv requirements --method pipenv --no-dev --no-indexes --no-comments > requirements.txt; \
    /build/tools/bin/pip --python /opt/amun/venv/bin/python install --quiet --disable-pip-version-check \
        --no-cache-dir --no-deps --require-hashes --requirement requirements.txt

FROM ${BASE}
COPY --from=packages /opt/amun/venv /opt/amun/venv
COPY app.py /opt/amun/
COPY openapi /opt/amun/openapi
COPY templates /opt/amun/templates
COPY amun /opt/amun/amun
# Platforms run this with an arbitrary uid of group 0, so that what is written to must be the group's.
RUN mkdir -p /var/lib/amun && chgrp 0 /var/lib/amun && chmod 0770 /var/lib/amun
ENV PATH=/opt/amun/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONPATH=/opt/amun \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    AMUN_HOST=0.0.0.0 \
    AMUN_PORT=8080 \
    AMUN_STATE_DIR=/var/lib/amun
WORKDIR /opt/amun
USER 10001:0
EXPOSE 8080
CMD ["gunicorn", "--config", "python:amun.gunicorn_conf", "app:application"]
