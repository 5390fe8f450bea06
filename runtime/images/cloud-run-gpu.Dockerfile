# As cloud-run.Dockerfile, on a base with CUDA and cuDNN, which has no Python yet. Which base goes
# with which onnxruntime-gpu is a table in cdk_inference/cuda.py.
ARG BASE_IMAGE=nvidia/cuda:12.6.3-cudnn-runtime-ubuntu24.04

FROM ${BASE_IMAGE} AS python
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python-is-python3 \
    && rm -rf /var/lib/apt/lists/*

FROM python AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3-pip
WORKDIR /build
COPY requirements.txt ./
# Bytecode that is never checked against its source: a cold start reads half as many files.
RUN python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action ignore \
        --only-binary :all: --require-hashes --no-deps --no-compile \
        --target dependencies --requirement requirements.txt \
    && rm -rf dependencies/bin \
    && python -m compileall -q --invalidation-mode unchecked-hash \
        -s dependencies -p /app dependencies
COPY inference_runtime code/inference_runtime
RUN python -m compileall -q --invalidation-mode unchecked-hash -s code -p /app code

FROM python
WORKDIR /app
ENV INFERENCE_HOST=0.0.0.0
COPY --from=build /build/dependencies ./
COPY models models
COPY --from=build /build/code ./
USER 65534:65534
ENTRYPOINT ["python", "-m", "inference_runtime.cli", "serve"]
