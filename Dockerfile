# The exporter, and with --target demo the same beside Parsl and a workflow to look at. Both run as nobody in
# particular, on a read-only root file system, and write nothing outside /tmp (the exporter: nothing at all).
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" .
FROM python:3.13.15-slim-trixie AS wheel
WORKDIR /src
COPY LICENSE README.md pyproject.toml ./
COPY exporter exporter
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

# An environment without pip, at the path where it will live.
FROM python:3.13.15-slim-trixie AS exporter-environment
COPY --from=wheel /wheels /wheels
# hadolint ignore=DL3013 # the wheel that was just built, whatever its version; pyproject.toml bounds the others
RUN python3 -m venv --without-pip /opt/parsl-exporter \
    && wheel=$(echo /wheels/parsl_exporter-*.whl) \
    && pip --python /opt/parsl-exporter install --no-cache-dir "${wheel}[postgresql,web]"

FROM exporter-environment AS demo-environment
# hadolint ignore=DL3013 # the wheel that was just built, whatever its version; pyproject.toml bounds the others
RUN wheel=$(echo /wheels/parsl_exporter-*.whl) \
    && pip --python /opt/parsl-exporter install --no-cache-dir "${wheel}[demo]"

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
