# The control plane: pages, admin API, edge, publisher, worker and beat, by command.
# Build from the root of the repository: docker build -f deploy/docker/control_plane.Dockerfile .

FROM python:3.11-slim-bookworm AS packages
COPY deploy/requirements/control.txt /tmp/control.txt
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/control.txt

FROM python:3.11-slim-bookworm
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=control_plane.settings \
    GATEHOUSE_SIGNING_DIR=/var/lib/gatehouse/signing
RUN groupadd --system --gid 10001 gatehouse \
    && useradd --system --uid 10001 --gid gatehouse --home-dir /srv/gatehouse --no-create-home gatehouse \
    && install --directory --owner=gatehouse --group=gatehouse --mode=0700 \
        /var/lib/gatehouse /var/lib/gatehouse/signing /var/lib/gatehouse/beat
COPY --from=packages /opt/venv /opt/venv
WORKDIR /srv/gatehouse
COPY manage.py ./
COPY shared ./shared
COPY control_plane ./control_plane
USER 10001:10001
EXPOSE 8000 8001
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
CMD ["gunicorn", "control_plane.wsgi", "--worker-class", "gthread", "--workers", "2", "--threads", "8", \
     "--no-control-socket", "--worker-tmp-dir", "/dev/shm", "--bind", "0.0.0.0:8000"]
