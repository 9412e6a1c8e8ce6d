# syntax=docker/dockerfile:1
# One image for the web server, the workers and the one-shot migration; compose.yaml says which is which.

FROM python:3.11-slim-bookworm AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
RUN python -m venv /opt/venv
COPY requirements.txt /tmp/requirements.txt
RUN /opt/venv/bin/python -m pip install --requirement /tmp/requirements.txt

FROM python:3.11-slim-bookworm
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PROVENANCE_HOME=/data \
    PROVENANCE_MODELS=/data/models \
    NUMBA_CACHE_DIR=/data/compiled \
    TMPDIR=/data/tmp
RUN groupadd --system --gid 10001 provenance \
    && useradd --system --uid 10001 --gid provenance --no-create-home --shell /usr/sbin/nologin provenance \
    && install --directory --owner provenance --group provenance --mode 0700 /data /data/tmp
COPY --from=packages /opt/venv /opt/venv
WORKDIR /srv/provenance
COPY manage.py requirements.txt ./
COPY provenance provenance
COPY webapp webapp
COPY templates templates
COPY static static
USER 10001:10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=6s --start-period=60s --retries=4 CMD ["python", "-m", "webapp.embedded", "health"]
CMD ["python", "-m", "uvicorn", "webapp.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--timeout-graceful-shutdown", "5", "--no-access-log", "--no-proxy-headers", "--no-server-header", "--log-level", "warning"]
