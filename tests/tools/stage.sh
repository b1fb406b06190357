#!/usr/bin/env bash
# stage.sh NAME COMMAND...: runs one stage of a make target and says how long it took.
set -uo pipefail
name=$1; shift
printf '==> %s\n' "$name"
start=$SECONDS
"$@"
status=$?
printf '<== %s: %s s, exit %s\n' "$name" $((SECONDS - start)) $status
exit $status
