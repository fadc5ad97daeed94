#!/bin/sh
# Builds the two images with buildah (or BUILDER=docker): wheels are fetched by their hashes first, so that the build itself
# needs no index. BASE is any image with Python 3.12 or newer and pip; PREFIX and TAG name the images.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
builder=${BUILDER:-buildah}
base=${BASE:-docker.io/library/python:3.13-slim}
prefix=${PREFIX:-ghcr.io/workflow-budget-operator}
tag=${TAG:-$("$python" -c 'import importlib.metadata as m; print(m.version("workflow-budget-operator"))')}
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

for part in operator sidecar; do
    mkdir -p "$context/$part/wheels"
    echo "wheels for $part"
    "$python" -m pip download -q --disable-pip-version-check --require-hashes --only-binary :all: --no-deps \
        -r "$part/requirements.lock" -d "$context/$part/wheels"
    "$python" -m pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation . -w "$context/$part/wheels"
    cp "$part/Dockerfile" "$context/$part/Dockerfile"
    echo "building $prefix/$part:$tag on $base"
    # shellcheck disable=SC2086  # BUILD_ARGS is a list
    "$builder" build ${BUILD_ARGS:-} --build-arg "BASE=$base" -t "$prefix/$part:$tag" "$context/$part"
done
