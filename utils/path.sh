# shellcheck shell=bash
# Put the toolkit and its Python on the search paths; sourced by every run.sh, after cd to its folder.
#
#   . ../../utils/path.sh
#
# The first use installs tools/venv; later ones only where the pinned versions have changed. With
# SPEECHLLM_PYTHON=/path/to/python that interpreter and its packages are used, and nothing is installed.

if [ -n "${SPEECHLLM_PYTHON:-}" ] && ! command -v "${SPEECHLLM_PYTHON}" >/dev/null; then
    echo "SPEECHLLM_PYTHON should name a Python interpreter, got '${SPEECHLLM_PYTHON}'" >&2
    return 1 # a recipe ends here by its set -e; a shell of the user's goes on
fi

# shellcheck disable=SC2034  # stage.sh reads it
recipe_command=$0$([ $# -eq 0 ] || printf ' %q' "$@") # as it was typed, for the results
SPEECHLLM_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export SPEECHLLM_ROOT

python_dir=${SPEECHLLM_ROOT}/tools/venv/bin
if [ -n "${SPEECHLLM_PYTHON:-}" ]; then
    SPEECHLLM_PYTHON=$(command -v "${SPEECHLLM_PYTHON}")
    python_dir=$(dirname "${SPEECHLLM_PYTHON}")
    if ! [ "${python_dir}/python" -ef "${SPEECHLLM_PYTHON}" ]; then # python3.12 with no python beside it
        python_dir=${SPEECHLLM_ROOT}/tools/venv.user/$(cksum <<<"${SPEECHLLM_PYTHON}" | cut -d ' ' -f 1)
        if ! [ -x "${python_dir}/python" ]; then
            mkdir -p "${python_dir}"
            printf '#!/bin/sh\nexec "%s" "$@"\n' "${SPEECHLLM_PYTHON}" >"${python_dir}/python.$$"
            chmod +x "${python_dir}/python.$$"
            mv "${python_dir}/python.$$" "${python_dir}/python"
        fi
    fi
fi

case " $* " in
    *" --help "* | *" -h "*) ;; # help does not have to wait for an installation
    *)
        if [ -n "${SPEECHLLM_PYTHON:-}" ]; then
            "${python_dir}/python" "${SPEECHLLM_ROOT}/tools/check_install.py" --quick || { unset python_dir; return 1; }
        else
            "${SPEECHLLM_ROOT}/tools/install.sh" --if-needed || { unset python_dir; return 1; }
        fi
        ;;
esac

export PATH=${SPEECHLLM_ROOT}/utils:${python_dir}:${PATH}
unset python_dir
export PYTHONPATH=${SPEECHLLM_ROOT}${PYTHONPATH:+:${PYTHONPATH}}
export PYTHONUNBUFFERED=1    # logs grow line by line
export LC_ALL=C PYTHONUTF8=1 # sort by bytes, as data directories are; text is UTF-8 all the same
export PYTHONIOENCODING=utf-8
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(nproc)}
# Threads of libgomp, which torch has, spin while they wait for each other. With the cores to itself a training is a tenth
# faster for that, and two such programs on the same cores stand nearly still. So as a rule only the first on a machine may.
if [ -z "${OMP_WAIT_POLICY:-}${GOMP_SPINCOUNT:-}" ] && read -r _ _ _ running _ 2>/dev/null </proc/loadavg; then
    [ "${running%%/*}" -le 1 ] || export GOMP_SPINCOUNT=1000 # more are running than this shell
    unset running
fi
export TOKENIZERS_PARALLELISM=false # threads of the tokenizers deadlock in forked data workers
