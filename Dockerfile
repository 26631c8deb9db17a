# The exporter, and with --target demo the same beside Parsl and a workflow to look at. Both run as nobody in
# particular, on a read-only root file system, and write nothing outside /tmp (the exporter: nothing at all).
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" .
# What is installed is pinned in .ci/lock-*.txt, with hashes: make lock.
FROM python:3.13.15-slim-trixie AS wheel
WORKDIR /src
COPY .ci/lock-build.txt ./
RUN pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes --requirement lock-build.txt
COPY LICENSE README.md pyproject.toml ./
COPY exporter exporter
COPY config config
COPY docs/parsl-exporter.1 docs/runbooks.md docs/
COPY grafana/dashboards grafana/dashboards
COPY grafana/provisioning grafana/provisioning
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

# An environment without pip, at the path where it will live.
FROM python:3.13.15-slim-trixie AS exporter-environment
COPY .ci/lock-image.txt /locks/
COPY --from=wheel /wheels /wheels
RUN python3 -m venv --without-pip /opt/parsl-exporter \
    && pip --python /opt/parsl-exporter install --no-cache-dir --no-deps --only-binary :all: \
        --require-hashes --requirement /locks/lock-image.txt \
    && pip --python /opt/parsl-exporter install --no-cache-dir --no-deps --no-index /wheels/*.whl

FROM python:3.13.15-slim-trixie AS demo-environment
COPY .ci/lock-demo.txt /locks/
COPY --from=wheel /wheels /wheels
RUN python3 -m venv --without-pip /opt/parsl-exporter \
    && pip --python /opt/parsl-exporter install --no-cache-dir --no-deps --only-binary :all: \
        --require-hashes --requirement /locks/lock-demo.txt \
    && pip --python /opt/parsl-exporter install --no-cache-dir --no-deps --no-index /wheels/*.whl

FROM python:3.13.15-slim-trixie AS base
ARG REVISION=
ENV PATH=/opt/parsl-exporter/bin:$PATH PYTHONUNBUFFERED=1 PARSL_EXPORTER_REVISION=$REVISION
USER 65532:65532
EXPOSE 9678
ENTRYPOINT ["parsl-exporter"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["python3", "-c", "import http.client; c = http.client.HTTPConnection('127.0.0.1', 9678, timeout=3); c.request('GET', '/-/healthy'); raise SystemExit(c.getresponse().status != 200)"]

FROM base AS demo
COPY --from=demo-environment /opt/parsl-exporter /opt/parsl-exporter
# Parsl asks for the user's name and home, and this user has neither.
ENV HOME=/tmp USER=demo
WORKDIR /tmp
CMD ["demo", "--web.listen-address=0.0.0.0:9678"]

FROM base AS exporter
COPY --from=exporter-environment /opt/parsl-exporter /opt/parsl-exporter
CMD ["serve", "--web.listen-address=0.0.0.0:9678", "/runinfo"]
