#!/bin/sh
# Every test. The pure core's run beside those of the cluster, which wait more than they compute. $1 is the Python.
set -u
python=$1
failed=0
said=$(mktemp)
trap 'rm -f "$said"' EXIT

"$python" -m pytest --ignore=tests/core --ignore=tests/in_cluster || failed=$?

nice -n 10 "$python" -m pytest tests/core >"$said" 2>&1 &
core=$!
"$python" -m pytest tests/in_cluster || failed=$?
wait "$core" || failed=$?
cat "$said"
exit "$failed"
