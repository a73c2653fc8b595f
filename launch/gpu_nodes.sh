#!/bin/bash
# GPU nodes without a scheduler, a process a node with all its GPUs. On each node, with its own INDEX from 0:
#   launch/gpu_nodes.sh FIRST_NODE:PORT NODES INDEX CONFIG WORKDIR SHARDS [FIELD ...]
# FIRST_NODE is the address of node 0 as the others reach it; PORT is open there.
set -euo pipefail

if [ $# -lt 6 ]; then
    echo "usage: $0 FIRST_NODE:PORT NODES INDEX CONFIG WORKDIR SHARDS [FIELD ...]" >&2
    exit 2
fi
coordinator=$1 nodes=$2 index=$3 config=$4 workdir=$5 shards=$6
shift 6

mkdir -p "$workdir"
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$workdir/compiled}
# A lost node, or SIGTERM to one process, ends the job with code 75 everywhere; this loop starts it again, and --resume
# goes on. To end the job, end this script first.
while true; do
    code=0
    python train.py --config "$config" --workdir "$workdir" --data.dir "$shards" --resume \
        --hosts.coordinator "$coordinator" --hosts.count "$nodes" --hosts.index "$index" "$@" || code=$?
    if [ "$code" -eq 0 ] || [ "$code" -eq 2 ]; then
        exit "$code"
    fi
    echo "ended with code $code; again in 30 seconds" >&2
    sleep 30
done
