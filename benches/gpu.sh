#!/bin/sh
# One visit to a GPU: checks the kernels against f64, then measures them beside plain operations and, where python3 has
# torch, beside torch.compile and Liger. Prints Markdown. `--device cpu` tries all but the peers on any machine.
#
# A machine without Rust runs a program that was built elsewhere (`cargo bench --bench gpu --no-run` names it), put
# into the variable AENT_GPU_BENCH, with the `lib` of torch 2.11.0 on LD_LIBRARY_PATH.
set -eu
cd "$(dirname "$0")/.."

echo "$(date -u +%Y-%m-%d), commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown): benches/gpu.sh $*"
if command -v nvidia-smi >/dev/null 2>&1; then
    nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader || true
fi
echo

if [ -n "${AENT_GPU_BENCH:-}" ]; then
    "$AENT_GPU_BENCH" "$@"
else
    cargo bench --quiet --bench gpu -- "$@"
fi

case " $* " in
*" --device cpu "* | *" --only-checks "*) exit 0 ;;
esac
if python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    echo
    python3 benches/gpu/peers.py "$@"
fi
