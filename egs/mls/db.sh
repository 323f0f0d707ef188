# shellcheck shell=bash disable=SC2034
# Where the corpora of this recipe lie, if they are already on disk; sourced by run.sh, --corpora wins.

MLS=${MLS:-} # folder that holds mls_<language> or mls_<language>_opus
