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

FROM python
WORKDIR /app
ENV INFERENCE_HOST=0.0.0.0
COPY --from=build /build/dependencies ./
COPY --from=build /build/models models
COPY --from=build /build/code ./
USER 65534:65534
ENTRYPOINT ["python", "-m", "inference_runtime.cli", "serve"]
