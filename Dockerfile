# The service: API by default, `amun controller` for the controller, `amun doctor` to look around. It builds and runs
# nothing by itself here: its engine is the cluster it is deployed to (openshift/). Any uid may run it, its root file
# system may be read-only; it writes to /tmp and /dev/shm.
#
#   podman build --tag amun .
#   podman run --publish 127.0.0.1:8080:8080 --env AMUN_ENGINE=openshift --env AMUN_AUTH=token \
#       --volume ~/.kube/config:/kubeconfig:ro --env AMUN_KUBECONFIG=/kubeconfig amun

ARG BASE=docker.io/library/python:3.11-slim

FROM ${BASE} AS packages
USER 0
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
        --no-cache-dir --no-deps --require-hashes --requirement requirements.txt; \
    : "half of the Kubernetes client is for asyncio, and not used"; \
    rm -rf /opt/amun/venv/lib/python3*/site-packages/kubernetes/aio

FROM packages AS installed
COPY pyproject.toml README.rst LICENSE /build/
COPY openapi /build/openapi
COPY templates /build/templates
COPY examples /build/examples
COPY amun /build/amun
# Compiled here, since nobody can write there later; readable for all, however the sources were checked out.
RUN set -e; if [ -e /run/amun/environment ]; then . /run/amun/environment; fi; \
    /build/tools/bin/pip --python /opt/amun/venv/bin/python install --quiet --disable-pip-version-check \
        --no-cache-dir --no-deps /build; \
    python3 -m compileall -q -f --invalidation-mode unchecked-hash /opt/amun/venv/lib; \
    chmod -R a+rX,go-w /opt/amun

FROM ${BASE}
COPY --from=installed /opt/amun/venv /opt/amun/venv
COPY app.py /opt/amun/
ENV PATH=/opt/amun/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    PROMETHEUS_MULTIPROC_DIR=/dev/shm/amun-metrics \
    GUNICORN_CMD_ARGS=--worker-tmp-dir=/dev/shm \
    AMUN_HOST=0.0.0.0 \
    AMUN_PORT=8080 \
    AMUN_STATE_DIR=/tmp/amun
WORKDIR /opt/amun
# Platforms run this with an arbitrary uid of group 0 instead.
USER 10001:0
EXPOSE 8080 8081
CMD ["gunicorn", "--config", "python:amun.web.gunicorn_conf", "app:application"]
