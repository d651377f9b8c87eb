#!/bin/sh
# What a scheduler starts every night: one run over the window of days before DATE, which is today (UTC).
#
#   pipelines/daily.sh [DATE] [options of item2vec run]
#   pipelines/daily.sh 2025-03-31 --accept "half of the catalogue was withdrawn"
#   DAILY=my_daily.toml pipelines/daily.sh      a path from the project's root, where the run is started, or absolute
#
# Exit codes: 0 published (or done already), 1 a bug, 2 settings, 3 data (a partition is missing, too many rows
# refused), 4 the run failed, another one is at work, or standard output was full, 5 the gate refused the release,
# 127 item2vec is not installed where ITEM2VEC or .venv/ says, 130 interrupted. The current release stays unless it
# is 0 (or 4 for a full output, which says so); the same command again goes on where this one stopped.
set -eu
date=$(date -u +%F)
case "${1-}" in
    [0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]) date=$1; shift ;;
    -*|"") ;;
    *) echo "error: $1 is not a date such as $date" >&2; exit 2 ;;
esac
cd "$(dirname "$0")/.."
exec "${ITEM2VEC:-.venv/bin/item2vec}" run --no-progress "${DAILY:-pipelines/daily.toml}" --set "events.as_of=$date" "$@"
