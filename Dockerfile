# Two images of one release:
#   service    the product alone: `recharge ingest`, `worker`, `migrate`, … (the last stage, so the default)
#   devstack   the same with the extra `devstack`: the provider simulator and Temporal's development server besides

ARG PYTHON_IMAGE=python:3.11.15-slim-bookworm

# ---- Every package that constraints.txt names, checked against its hash; the stages below install from here alone. ----
FROM ${PYTHON_IMAGE} AS wheels
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY constraints.txt ./
RUN pip download --require-hashes --only-binary=:all: --dest /wheelhouse --requirement constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY recharge recharge
COPY activities activities
COPY workflows workflows
COPY ingest ingest
COPY operations operations
COPY app app
COPY devstack devstack
COPY deploy/mysql deploy/mysql
COPY deploy/kafka deploy/kafka
# The build back end comes out of the same folder, in its pinned version.
RUN pip wheel --no-index --find-links=/wheelhouse --no-deps --wheel-dir=/wheelhouse .

# The folder holds one version of everything, so the resolver has no choice; it takes what the product needs, no more.
FROM wheels AS service-packages
RUN python -m venv --without-pip /opt/recharge \
    && echo 'recharge' > requirements.txt \
    && pip --python /opt/recharge/bin/python install --no-index --find-links=/wheelhouse --requirement requirements.txt

FROM wheels AS devstack-packages
RUN python -m venv --without-pip /opt/recharge \
    && echo 'recharge[devstack]' > requirements.txt \
    && pip --python /opt/recharge/bin/python install --no-index --find-links=/wheelhouse --requirement requirements.txt

# ---- What both images share. The user's number is fixed, so that volumes and policies can name it. --------------------
FROM ${PYTHON_IMAGE} AS base
RUN groupadd --system --gid 10001 recharge \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin recharge
# Nothing is written to the image's own files: both run with a read-only root.
ENV PATH=/opt/recharge/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /
# A process that gets SIGTERM finishes the calls that are in flight, then ends.
STOPSIGNAL SIGTERM

FROM base AS devstack
# New volumes take over these folders' owner.
RUN install -d -o recharge -g recharge \
    /etc/recharge/authority /etc/recharge/server /var/lib/recharge/provider /var/lib/recharge/temporal
COPY --from=devstack-packages /opt/recharge /opt/recharge
COPY deploy/compose/certificates.py deploy/compose/kafka_setup.py /opt/recharge/compose/
USER 10001:10001
ENTRYPOINT ["recharge"]

# No HEALTHCHECK here: each command has its own idea of health, and none of them listens on a port of itself.
FROM base AS service
COPY --from=service-packages /opt/recharge /opt/recharge
USER 10001:10001
ENTRYPOINT ["recharge"]
