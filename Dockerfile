FROM python:3.13-slim AS builder
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
COPY requirements.lock /build/
RUN /opt/venv/bin/pip install --require-hashes --only-binary :all: -r /build/requirements.lock
COPY pyproject.toml README.md LICENSE /build/
COPY bot /build/bot
COPY cogs /build/cogs
# setuptools is in the lock: nothing unpinned is fetched to build our own package.
RUN /opt/venv/bin/pip install --no-deps --no-index --no-build-isolation /build

FROM python:3.13-slim
# The slim image brings the certificates that TLS needs, so nothing is installed here.
RUN groupadd --gid 10001 bot \
    && useradd --uid 10001 --gid bot --no-create-home --home-dir /data bot \
    && install -d -o bot -g bot /data
COPY --from=builder /opt/venv /opt/venv
# matplotlib wants a folder for its font cache; /tmp is writable in every set-up, also with a read-only image.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR=/tmp/matplotlib
# SQLite writes the whole database anew after a purge and for a backup. In /tmp that would be in memory, and count there.
ENV SQLITE_TMPDIR=/data
# By number, so that a host can tell that it is not root.
USER 10001:10001
# config.toml is looked for here, and data/ is made here.
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=60s --timeout=10s --start-period=30s --retries=3 CMD ["tumblrbot-discord", "health"]
ENTRYPOINT ["tumblrbot-discord"]
CMD ["run"]
