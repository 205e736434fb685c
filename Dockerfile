# Slicefill with what it needs to run, and nothing to develop it. docs/how-to/deploy.md
#   docker build --tag slicefill .
#   docker run --rm slicefill --help
#   docker run --rm --volume "$PWD/data:/slicefill/data" --entrypoint kedro slicefill run --env=tiny
# For NVIDIA cards: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/slicefill
ENV PATH=/opt/slicefill/bin:$PATH
WORKDIR /build
# Dependencies first: they are installed anew only when their list changes.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir -p src/slicefill && touch src/slicefill/__init__.py \
    && pip install --extra-index-url "$TORCH_INDEX" --constraint constraints.txt '.[pipelines,s3,postgres]'
COPY src src
RUN pip install --no-deps --force-reinstall .

FROM python:${PYTHON}-slim
ENV PATH=/opt/slicefill/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=true KEDRO_DISABLE_TELEMETRY=true MLFLOW_DISABLE_TELEMETRY=true
RUN useradd --create-home --uid 1000 slicefill \
    && install --directory --owner slicefill /slicefill /slicefill/data /slicefill/src
COPY --from=build /opt/slicefill /opt/slicefill
WORKDIR /slicefill
COPY pyproject.toml ./
COPY conf conf
COPY docs/paper docs/paper
# Runs are tracked with the commit they came from: --build-arg COMMIT=$(git rev-parse HEAD)
ARG COMMIT=unknown
ENV SLICEFILL_COMMIT=$COMMIT
USER slicefill
VOLUME /slicefill/data
ENTRYPOINT ["slicefill"]
CMD ["--help"]
