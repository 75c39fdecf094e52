# The gateway.  It keeps its identity, its last good bundle and records not yet sent in /var/lib/gatehouse.
# Build from the root of the repository: docker build -f deploy/docker/data_plane.Dockerfile .

FROM python:3.11-slim-bookworm AS packages
COPY deploy/requirements/data.txt /tmp/data.txt
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/data.txt

FROM python:3.11-slim-bookworm
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GATEHOUSE_GATEWAY_HOST=0.0.0.0 \
    GATEHOUSE_GATEWAY_PORT=8787 \
    GATEHOUSE_GATEWAY_STATE_DIR=/var/lib/gatehouse
RUN groupadd --system --gid 10001 gatehouse \
    && useradd --system --uid 10001 --gid gatehouse --home-dir /srv/gatehouse --no-create-home gatehouse \
    && install --directory --owner=gatehouse --group=gatehouse --mode=0700 /var/lib/gatehouse
COPY --from=packages /opt/venv /opt/venv
WORKDIR /srv/gatehouse
COPY shared ./shared
COPY data_plane ./data_plane
USER 10001:10001
VOLUME ["/var/lib/gatehouse"]
EXPOSE 8787
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8787/readyz', timeout=4)"]
CMD ["python", "-m", "data_plane", "serve"]
