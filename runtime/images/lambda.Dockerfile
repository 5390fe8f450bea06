# An AWS Lambda image: what changes least comes first, so that a new model uploads itself and
# the runtime's code, under 1 MB, and a new runtime only that.
#
# For a base that never changes, pin it: --build-arg BASE_IMAGE=python:3.13-slim@sha256:…
ARG BASE_IMAGE=python:3.13-slim
ARG INSIGHTS_IMAGE=${BASE_IMAGE}

# The agent of CloudWatch Lambda Insights, from the package that AWS has for Amazon Linux, on which
# INSIGHTS_IMAGE must be built; without a package there is none.
FROM ${INSIGHTS_IMAGE} AS insights
ARG INSIGHTS_PACKAGE=
RUN mkdir /insights \
    && if [ -n "${INSIGHTS_PACKAGE}" ]; then \
        curl --fail --silent --show-error --output /tmp/insights.rpm "${INSIGHTS_PACKAGE}" \
        && rpm --install --nodeps /tmp/insights.rpm \
        && mv /opt/extensions /opt/cloudwatch /insights; \
    fi

FROM ${BASE_IMAGE} AS build
WORKDIR /build
COPY requirements.txt pack.py ./
# Without what no prediction loads, and with bytecode that is never checked against its source.
RUN python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action ignore \
        --only-binary :all: --require-hashes --no-deps --no-compile \
        --target dependencies --requirement requirements.txt \
    && python pack.py dependencies /var/task
COPY inference_runtime code/inference_runtime
RUN python pack.py code /var/task
# Times that are the same in every build, as pack.py gives them to the other files.
COPY models models
RUN find models -exec touch --date @315532800 {} +
# The name of the extension that fetches the model while the runtime is imported; without a name
# there is none.
ARG MODEL_CACHE_EXTENSION=
COPY --from=insights /insights opt
RUN mkdir -p opt/extensions \
    && if [ -n "${MODEL_CACHE_EXTENSION}" ]; then \
        install -m 755 code/inference_runtime/adapters/model_cache_extension.sh \
            "opt/extensions/${MODEL_CACHE_EXTENSION}"; \
    fi

FROM ${BASE_IMAGE}
WORKDIR /var/task
COPY --from=build /build/dependencies ./
COPY --from=build /build/opt /opt
# Empty where the model is elsewhere.
COPY --from=build /build/models models
COPY --from=build /build/code ./
# Lambda runs every image without root; elsewhere this does.
USER 65534:65534
ENTRYPOINT ["python", "-c", "from inference_runtime.adapters.aws_lambda_runtime import main; main()"]
