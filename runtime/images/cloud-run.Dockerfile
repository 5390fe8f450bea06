# A Cloud Run image, and one for any other host of containers: what changes least comes first, so
# that a new model uploads itself and the runtime's code, under 1 MB, and a new runtime only that.
#
# For a base that never changes, pin it: --build-arg BASE_IMAGE=python:3.13-slim@sha256:…
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /build
COPY requirements.txt pack.py ./
# Without what no prediction loads, and with bytecode that is never checked against its source.
RUN python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action ignore \
        --only-binary :all: --require-hashes --no-deps --no-compile \
        --target dependencies --requirement requirements.txt \
    && python pack.py dependencies /app
COPY inference_runtime code/inference_runtime
RUN python pack.py code /app
# Times that are the same in every build, as pack.py gives them to the other files.
COPY models models
RUN find models -exec touch --date @315532800 {} +

FROM ${BASE_IMAGE}
WORKDIR /app
ENV INFERENCE_HOST=0.0.0.0
COPY --from=build /build/dependencies ./
COPY --from=build /build/models models
COPY --from=build /build/code ./
USER 65534:65534
ENTRYPOINT ["python", "-m", "inference_runtime.cli", "serve"]
