#!/usr/bin/env bash
# Write a recipe for a corpus of your own, from the stages and sizes of another.
#
# usage: utils/new_recipe.sh --name CORPUS --lang CODE [options]
#   --name CORPUS     the recipe becomes egs/CORPUS
#   --lang CODE       ISO code of its language, such as ru or zh; several in quotes
#   --from RECIPE     recipe whose stages and sizes it takes: mls, the only one that has a folder in egs/TEMPLATE
#
# The corpus is a folder of audio with transcripts.tsv, or of Kaldi data directories; egs/TEMPLATE/README.md goes from there
# to a WER.

set -euo pipefail
toolkit=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH=${toolkit}/utils:${PATH}

name="" lang="" from=mls
. parse_options.sh
[[ ${name} =~ ^[A-Za-z0-9][A-Za-z0-9_.-]*$ ]] || die "--name should be a word of letters, digits, - and _, got '${name}'"
[[ ${lang} =~ ^[a-z]{2,3}(\ [a-z]{2,3})*$ ]] || die "--lang should be an ISO code such as ru, got '${lang}'"
[ -d "${toolkit}/egs/TEMPLATE/${from}" ] || die "--from should be a recipe with a folder in egs/TEMPLATE (mls), got '${from}'"
recipe=${toolkit}/egs/${name}
[ ! -e "${recipe}" ] || die "egs/${name} exists; choose another --name, or delete it"

new=${recipe}.new.$$
trap 'rm -rf "${new}"' EXIT
mkdir -p "${new}"
cp -r "${toolkit}/egs/${from}"/{run.sh,run_table.sh,cmd.sh,conf} "${toolkit}/egs/TEMPLATE/${from}/." "${new}"
sed -i -f "${new}/run.sed" "${new}"/{run.sh,run_table.sh}
# Figures, notes and small training sets are those of the other corpus.
sed -i -e '/^# Past the paper/,/^title/{/^title/!d}' -e '/^ *published:/d' -e '/^note:/,/^[^ ]/{/^note:/d; /^ /d}' \
    -e '/^others:/,/^[^ ]/{/^others:/d; /^ /d}' \
    -e '/ subset: /d' -e 's/, limited supervision//' "${new}"/conf/*/tables/*.yaml
sed -i -e "s/@NAME@/${name}/" -e "s/@LANG@/${lang}/" "${new}"/{run.sh,run_table.sh,README.md}
rm "${new}/run.sed"
mv "${new}" "${recipe}"
echo "egs/${name} is written. Next: cd egs/${name} && ./run.sh --corpora DIR (see egs/TEMPLATE/README.md)"
