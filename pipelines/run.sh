#!/bin/sh
# What a scheduler starts (cron, Airflow, a systemd timer): one run, whole, from the project's root.
#
#   pipelines/run.sh pipelines/google_merch.toml --set train.workers=4
#
# A second start of the same run while the first still works stops at once with exit code 4. A run that was
# killed goes on where it stopped. Exit codes: 0 fine, 2 settings, 3 data, 4 the run failed,
# 5 the gate refused the release.
set -eu
cd "$(dirname "$0")/.."
exec "${ITEM2VEC:-.venv/bin/item2vec}" run --no-progress "$@"
