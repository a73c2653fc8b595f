#!/bin/bash
# Nodes of 8 GPUs under SLURM, a process a GPU:
#   sbatch --nodes 2 launch/slurm_gpu.sh CONFIG WORKDIR SHARDS [FIELD ...]
# Two minutes before the time limit the run is saved, and the job goes back into the queue until it is through. The same
# command again goes on from the newest checkpoint, too. WORKDIR and SHARDS lie where every node sees them.
#SBATCH --job-name=reactface
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: sbatch [--nodes N] $0 CONFIG WORKDIR SHARDS [FIELD ...]" >&2
    exit 2
fi
config=$1 workdir=$2 shards=$3
shift 3

mkdir -p "$workdir"
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$workdir/compiled}
stopped=
# The processes save at one step and exit with 75, or a single one with 0. Without --batch, scancel's signal goes to them and
# not to this script.
trap 'stopped=yes; scancel --signal=TERM "$SLURM_JOB_ID"' TERM
# srun tells each process the job's size, its number and the first node; jax gives it the GPU of its local number.
# Without --kill-on-bad-exit the others would wait for --hosts.timeout before they end. Since 22.05 srun takes no notice of
# --cpus-per-task above, and would give each process one core.
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-12}
srun --kill-on-bad-exit=1 \
    python train.py --config "$config" --workdir "$workdir" --data.dir "$shards" --resume "$@" &
code=0
wait $! || code=$?
if [ -n "$stopped" ]; then
    code=0
    wait $! || code=$? # the first one ended with the signal, before srun did
fi
if [ -n "$stopped" ] && [ "$code" -ne 2 ]; then
    exec scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
