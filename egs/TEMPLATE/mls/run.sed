# What run.sh and run_table.sh of a new recipe have in other words than those of egs/mls; @NAME@ and @LANG@ are filled in
# by utils/new_recipe.sh.
s/^# Multilingual LibriSpeech: .*/# @NAME@: teach an LLM to transcribe speech in @LANG@, by the stages of egs\/mls./
s/mini: made-up speech on a CPU in minutes; paper: its sizes on GPUs;/mini: small sizes on a CPU; paper: those of the paper on GPUs;/
s/folder that holds mls_<language> .*/folder of the corpus, see local\/prepare_data.py --help (db.sh)/
s/start the encoder from that of another run, e\.g\. .*/start the encoder from that of another run, e.g. ..\/mls\/exp\/mini\/ctc/
s/(all eight)/(@LANG@)/
s/langs="en de nl fr es it pt pl"/langs="@LANG@"/
s/\${MLS}/${CORPUS}/
# There is no made-up corpus of other languages, and no list of small training sets.
/^#   --subset /d
s/, limited supervision//
s/--corpus_opts "...", //
s/of the made-up corpus, overrides/overrides/
/^made=/d
/^    \[ -z "\${made}" \] || /,/--out "\${made}"$/c\
    [ -d "${corpora}" ] || die "--corpora should name the folder of the corpus, got '${corpora}'"
s/^    finish_stage \${made:+.*/    finish_stage/
