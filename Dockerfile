# One image for every process of ours: `usage-credits ledger`, `sink`, `gate`, `mailer`, `prove`, `topics`, `migrate`, …
# Kafka and ClickHouse are not in it: they are servers here (docker-compose.yml, deploy/kubernetes).
FROM python:3.12-slim AS build

WORKDIR /src
# What others wrote changes seldom: it is a layer of its own.
COPY pyproject.toml README.md LICENSE NOTICE ./
RUN python -m venv /opt/usage-credits \
 && mkdir schemas client pipeline sinks \
 && /opt/usage-credits/bin/pip install --no-cache-dir .
COPY schemas schemas
COPY client client
COPY pipeline pipeline
COPY sinks sinks
RUN /opt/usage-credits/bin/pip install --no-cache-dir --no-deps --force-reinstall .

FROM python:3.12-slim

RUN useradd --uid 10001 --no-create-home usage-credits \
 # A volume that is mounted there belongs to whom the folder belongs to.
 && install --directory --owner usage-credits /var/lib/usage-credits/identities
COPY --from=build /opt/usage-credits /opt/usage-credits

# By number, so that Kubernetes can tell that it is not root.
USER 10001
WORKDIR /tmp
ENV PATH=/opt/usage-credits/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DATA_DIR=/tmp/usage-credits \
    IDENTITIES_DIR=/var/lib/usage-credits/identities \
    METRICS_HOST=0.0.0.0 \
    METRICS_PORT=9100 \
    HEALTH_URL=http://127.0.0.1:9100/healthz
EXPOSE 8080 9100
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(os.environ['HEALTH_URL'], timeout=3)"]
ENTRYPOINT ["usage-credits"]
CMD ["--help"]
