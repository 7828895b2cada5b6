# The lock files are made for this version of Python.
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/build && /opt/build/bin/pip install --quiet --only-binary :all: --require-hashes -r requirements-build.lock
# What is shipped has no installer in it.
RUN python -m venv --without-pip /opt/canary && /opt/build/bin/pip --python /opt/canary/bin/python install --quiet --no-compile --only-binary :all: --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY canary ./canary
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . && /opt/build/bin/pip --python /opt/canary/bin/python install --quiet --no-compile --no-index --no-deps dist/*.whl
# Trusted as it is: nothing is compiled, looked at or written when the controller starts.
RUN /opt/canary/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/canary/lib

FROM ${PYTHON}
RUN python -m pip uninstall --quiet --yes --root-user-action ignore pip setuptools wheel
COPY --from=build /opt/canary /opt/canary
ENV PYTHONUNBUFFERED=1
EXPOSE 8080
USER 65532:65532
# No HEALTHCHECK: the chart's probes ask /healthz and /readyz.
ENTRYPOINT ["/opt/canary/bin/canary"]
