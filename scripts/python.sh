#!/bin/sh
# Prints the path of a Python >= 3.12: $PYTHON, then PATH, then pyenv's versions, then what uv has.
# A pyenv shim without a chosen version is on PATH and answers 127, so every candidate is run before it is believed.
set -u

good() {
    [ -n "$1" ] && "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1
}

for candidate in "${PYTHON:-}" python3.13 python3.12 python3.14 python3 python; do
    path=$(command -v "$candidate" 2>/dev/null) && good "$path" && { echo "$path"; exit 0; }
done

root=$(pyenv root 2>/dev/null || echo "${PYENV_ROOT:-$HOME/.pyenv}")
for minor in 13 12 14; do
    for path in "$root"/versions/3."$minor"*/bin/python; do
        good "$path" && { echo "$path"; exit 0; }
    done
done

if command -v uv >/dev/null 2>&1; then
    for minor in 13 12 14; do
        path=$(uv python find --no-project "3.$minor" 2>/dev/null) && good "$path" && { echo "$path"; exit 0; }
    done
fi

echo "wfb needs Python 3.12 or newer with venv: install it (Debian: apt-get install python3.13-venv; pyenv: pyenv install 3.13; uv: uv python install 3.13) or set PYTHON=/path/to/python3" >&2
exit 1
