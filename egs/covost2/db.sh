# shellcheck shell=bash disable=SC2034
# Where the corpora of this recipe lie, if they are already on disk; sourced by run.sh, --corpora wins.

COVOST2=${COVOST2:-} # folder of Common Voice 4, with covost_v2.<source>_<target>.tsv beside or in it
