# shellcheck shell=bash disable=SC2034
# Where the corpus of this recipe lies, if it is already on disk; sourced by run.sh, --corpora wins.

MLS=${MLS:-} # folder that holds mls_english or mls_english_opus
