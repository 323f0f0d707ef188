# shellcheck shell=bash disable=SC2034
# Where the corpus of this recipe lies, if it is already on disk; sourced by run.sh, --corpora wins.

CORPUS=${CORPUS:-} # folder with Kaldi data directories, or with audio and transcripts.tsv
