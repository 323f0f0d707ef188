#!/usr/bin/env bash
# Install the toolkit and the pinned versions of what it needs into tools/venv; needs no root.
#
# usage: tools/install.sh [options]
#   --python PY         the Python to build on, 3.10 or later (python3, or the newest of 3.10 to 3.13)
#   --torch VERSION     another version of torch, e.g. 2.8.0 (see constraints.txt)
#   --torch-index URL   the package index to take torch from, for a build that suits an older CUDA driver
#   --bench             also the peers that test/bench compares with
#   --if-needed         do nothing, and say nothing, where all is installed and up to date
#
# Safe to run again, also after an interruption. The options are kept: without any, those of the last
# time hold; delete tools/venv to start anew. To use an environment of your own and install nothing, set
# SPEECHLLM_PYTHON=/path/to/python; "python tools/check_install.py" says what it lacks.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=$PWD/tools/venv
stamp=${venv}/.installed # a hash of all that decides what is installed, written last
saved=${venv}/.options
logfile=${venv}/install.log

fail() {
    echo "tools/install.sh: $*" >&2
    exit 1
}

# The options that are kept, from the last time and from this command line.
python="" torch="" torch_index="" bench=false
if [ -f "${saved}" ]; then
    while IFS='=' read -r name value; do printf -v "${name}" '%s' "${value}"; done <"${saved}"
fi
if_needed=false python_given=false
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help)
            sed -n '2,/^$/s/^# \{0,1\}//p' tools/install.sh
            exit 0
            ;;
        --if-needed) if_needed=true ;;
        --bench) bench=true ;;
        --python | --torch | --torch-index)
            [ $# -ge 2 ] || fail "option '$1' needs a value; see --help"
            name=${1#--}
            printf -v "${name//-/_}" '%s' "$2"
            [ "${name}" != python ] || python_given=true
            shift
            ;;
        *) fail "no such option '$1'; see --help" ;;
    esac
    shift
done

# Print what the stamp has to hold.
wanted_stamp() {
    cat setup.py tools/constraints.txt tools/install.sh - <<<"${venv} ${torch} ${torch_index} ${bench}" | sha256sum
}

is_installed() {
    [ -f "${stamp}" ] && [ "$(wanted_stamp)" = "$(cat "${stamp}")" ]
}

if [ "${if_needed}" = true ] && is_installed; then exit 0; fi

# One at a time. A pip that outlives this script holds the lock too, and is waited for.
if command -v flock >/dev/null; then
    exec 9>"${venv}.lock"
    if ! flock -n 9; then
        echo "tools/install.sh: another installation is running; waiting for it to end"
        flock 9
    fi
fi
if [ "${if_needed}" = true ] && is_installed; then exit 0; fi

unset PYTHONPATH PYTHONHOME # packages of another Python would count as installed
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1

# Print which interpreter $1 is, or fail if it is older than 3.10.
identify() {
    "$1" -c 'import sys; print(sys.base_prefix, sys.version.split()[0]); sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

# Set found_python to one that can make the environment.
find_python() {
    local candidate
    for candidate in ${python:-python3 python3.13 python3.12 python3.11 python3.10}; do
        if identify "${candidate}" >/dev/null; then
            "${candidate}" -c 'import venv, ensurepip' 2>/dev/null || fail "$(command -v "${candidate}") has no venv module;" \
                "install it (Debian, Ubuntu: apt install python3-venv), or name another Python with --python"
            found_python=${candidate}
            return
        fi
    done
    [ -z "${python}" ] || fail "--python should name a Python of version 3.10 or later, got '${python}'"
    fail "no Python of version 3.10 or later was found; install one, or name it with --python"
}

save_options() {
    mkdir -p "${venv}"
    (umask 077 && printf '%s=%s\n' python "${python}" torch "${torch}" torch_index "${torch_index}" bench "${bench}" >"${saved}")
}

# Make the environment, also where its making was interrupted, it was moved, or another Python is asked for.
if ! grep -qs "${venv}/bin/python" "${venv}/bin/pip" || ! "${venv}/bin/python" -m pip --version >/dev/null 2>&1 ||
    { [ "${python_given}" = true ] && [ "$(identify "${python}")" != "$(identify "${venv}/bin/python")" ]; }; then
    find_python
    echo "tools/install.sh: making tools/venv with $("${found_python}" --version) ($(command -v "${found_python}"))"
    rm -rf "${venv}"
    save_options
    "${found_python}" -m venv "${venv}" || fail "'${found_python} -m venv tools/venv' failed; the lines above say why"
fi
save_options

# A package whose files were being copied when pip was killed has metadata, but no RECORD: pip takes it for installed.
if [ ! -f "${stamp}" ]; then
    for folder in "${venv}"/lib/python3*/site-packages/{*.dist-info,~*}; do
        [ -f "${folder}/RECORD" ] && [[ ${folder##*/} != "~"* ]] || rm -rf "${folder}"
    done
fi
rm -f "${stamp}"

run_pip() {
    echo "pip $*" >>"${logfile}"
    if ! "${venv}/bin/python" -m pip "$@" >>"${logfile}" 2>&1; then
        grep -E 'ERROR|error:' "${logfile}" | tail -n 5 >&2 || true
        fail "pip failed (see ${logfile}); mend the cause and run tools/install.sh again, it goes on where it stopped"
    fi
}

version_of() {
    "${venv}/bin/python" -c 'import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))' "$1"
}

tested_version() {
    sed -n "s/^$1==//p" tools/constraints.txt
}

echo "tools/install.sh: installing into tools/venv (about two minutes and 5 GB; log: ${logfile})"
: >"${logfile}"
constraints=tools/constraints.txt
if [ -n "${torch}${torch_index}" ]; then
    # Another build of torch brings its own CUDA libraries; a torchaudio up to 2.10 fits the torch of its number only.
    constraints=${venv}/constraints.txt
    grep -vE '^(torch|torchaudio|triton|setuptools|cuda-[a-z]+|nvidia-[a-z0-9-]+)==' tools/constraints.txt >"${constraints}"
    run_pip install ${torch_index:+--index-url "${torch_index}"} "torch$([ -n "${torch}" ] && echo "==${torch}" || echo "<=$(tested_version torch)")"
    release=$(version_of torch)
    [[ ${release} =~ ^([0-9]+)\.([0-9]+) ]]
    torchaudio=$(tested_version torchaudio)
    if [ "${BASH_REMATCH[1]}" -eq 2 ] && [ "${BASH_REMATCH[2]}" -le 10 ]; then torchaudio="${BASH_REMATCH[0]}.*"; fi
    run_pip install ${torch_index:+--index-url "${torch_index}"} --no-deps "torchaudio==${torchaudio}"
    printf '%s\n' "torch==${release}" "torchaudio==$(version_of torchaudio)" >>"${constraints}"
fi

# ESPnet without its dependencies: its encoders need only torch and typeguard, the rest (speech synthesis and
# enhancement) has to be compiled, or is refused by recent versions of pip.
run_pip install --no-compile --no-deps -c "${constraints}" setuptools espnet
extras=test,ngram$([ "${bench}" = false ] || echo ,bench)
run_pip install --no-compile -c "${constraints}" --no-build-isolation --use-pep517 typeguard -e ".[${extras}]"

# Python keeps what it has compiled of a package, unless it is told not to: then every command would compile it all again.
if [ -n "${PYTHONDONTWRITEBYTECODE:-}" ]; then
    "${venv}/bin/python" -m compileall -q -j 0 "${venv}"/lib/python3*/site-packages >>"${logfile}" 2>&1 || true # templates are no code
fi

tools/venv/bin/python tools/check_install.py || fail "the check above found something missing; delete tools/venv and run again"
wanted_stamp >"${stamp}.tmp"
mv "${stamp}.tmp" "${stamp}"
