#!/usr/bin/env bash
# Start a Python module on the CPU, on one GPU, or as several processes.
#
# usage: launch.sh [--ngpu N] [--nproc N] <python-module> [arguments for the module]
#   --ngpu N    GPUs of this machine, one process each; 0 hides them (1)
#   --nproc N   with --ngpu 0: processes on the CPU (1)
#
# Several machines: start the same command on each, with NUM_NODES, MASTER_ADDR (the first of them), MASTER_PORT
# (29500) and NODE_RANK set; srun sets SLURM_NODEID, which serves as the last.

set -euo pipefail

fail() {
    echo "launch.sh: $*" >&2
    exit 1
}

ngpu=1
nproc=1
while [[ ${1-} == --* ]]; do
    [[ ${2-} =~ ^[0-9]+$ ]] || fail "$1 should be a number, got '${2-}'"
    case $1 in
        --ngpu) ngpu=$2 ;;
        --nproc) nproc=$2 ;;
        *) fail "no such option '$1'" ;;
    esac
    shift 2
done
[ $# -ge 1 ] || fail "which Python module?"
[ "${nproc}" -ge 1 ] || fail "--nproc should be at least 1"

if [ "${ngpu}" -gt 0 ]; then
    nproc=${ngpu}
    if ! [ -e /dev/kfd ]; then # of AMD; PyTorch alone can count those
        visible=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU') || visible=0
        [ "${visible}" -ge "${ngpu}" ] ||
            fail "--ngpu ${ngpu}, but this machine shows ${visible} GPUs (nvidia-smi -L); pass --ngpu 0 to use the CPU"
    fi
else
    export CUDA_VISIBLE_DEVICES=''
fi
export SPEECHLLM_NGPU=${ngpu} # so that PyTorch does not take the CPU where it cannot use the GPUs

num_nodes=${NUM_NODES:-1}
if [ "${nproc}" -eq 1 ] && [ "${num_nodes}" -eq 1 ]; then
    exec python -m "$@"
fi
cores=${OMP_NUM_THREADS:-$(nproc)}
export OMP_NUM_THREADS=$((cores > nproc ? cores / nproc : 1)) # the processes share the cores
if [ "${num_nodes}" -eq 1 ]; then
    exec python -m torch.distributed.run --standalone --nproc_per_node "${nproc}" -m "$@"
fi
exec python -m torch.distributed.run --nnodes "${num_nodes}" --node_rank "${NODE_RANK:-${SLURM_NODEID:-0}}" \
    --master_addr "${MASTER_ADDR:?launch.sh: several nodes need MASTER_ADDR, the name of the first}" \
    --master_port "${MASTER_PORT:-29500}" --nproc_per_node "${nproc}" -m "$@"
