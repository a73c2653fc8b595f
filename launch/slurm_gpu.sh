#!/bin/bash
# Nodes of 8 GPUs under SLURM, a process a GPU:
#   sbatch --nodes 2 launch/slurm_gpu.sh CONFIG WORKDIR SHARDS [FIELD ...]
# The same command again goes on from the newest checkpoint. WORKDIR and SHARDS lie where every node sees them.
#SBATCH --job-name=reactface
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: sbatch [--nodes N] $0 CONFIG WORKDIR SHARDS [FIELD ...]" >&2
    exit 2
fi
config=$1 workdir=$2 shards=$3
shift 3

mkdir -p "$workdir"
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$workdir/compiled}
# srun tells each process the job's size, its number and the first node; jax gives it the GPU of its local number.
# Without --kill-on-bad-exit the others would wait for --hosts.timeout before they end.
exec srun --kill-on-bad-exit=1 \
    python train.py --config "$config" --workdir "$workdir" --data.dir "$shards" --resume "$@"
