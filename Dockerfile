# One image for every process of ours: `usage-credits ledger`, `sink`, `topics`, `migrate`, …
# Kafka and ClickHouse are not in it: they are servers here (docker-compose.yml).
FROM python:3.12-slim

RUN useradd --create-home --uid 10001 usage-credits
# A volume that is mounted there belongs to whom the folder belongs to.
RUN install --directory --owner usage-credits /var/lib/usage-credits/identities
WORKDIR /srv/usage-credits

COPY pyproject.toml README.md LICENSE NOTICE ./
COPY schemas schemas
COPY pipeline pipeline
COPY sinks sinks
RUN pip install --no-cache-dir .

USER usage-credits
ENV DATA_DIR=/tmp/usage-credits PYTHONUNBUFFERED=1
ENTRYPOINT ["usage-credits"]
CMD ["--help"]
