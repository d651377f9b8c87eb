#!/bin/sh
# What a scheduler starts every night: one run over the window of days before DATE, which is today (UTC).
#
#   pipelines/daily.sh [DATE] [options of item2vec run]
#   pipelines/daily.sh 2025-03-31 --accept "half of the catalogue was withdrawn"
#   DAILY=my_daily.toml pipelines/daily.sh
#
# Exit codes: 0 published (or done already), 2 settings, 3 data (a partition is missing, too many rows refused),
# 4 the run failed or another one is at work, 5 the gate refused the release. The current release stays unless
# it is 0; the same command again goes on where this one stopped.
set -eu
date=$(date -u +%F)
case "${1-}" in
    [0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]) date=$1; shift ;;
    -*|"") ;;
    *) echo "error: $1 is not a date such as $date" >&2; exit 2 ;;
esac
cd "$(dirname "$0")/.."
exec "${ITEM2VEC:-.venv/bin/item2vec}" run --no-progress "${DAILY:-pipelines/daily.toml}" --set "events.as_of=$date" "$@"
