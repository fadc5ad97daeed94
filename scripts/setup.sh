#!/bin/sh
# Makes the virtual environment $1 from requirements.lock. Wheels are cached by pip outside the checkout.
set -eu
venv=$1
python=$("$(dirname "$0")/python.sh")
echo "setting up $venv with $("$python" --version)"
"$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock
"$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
