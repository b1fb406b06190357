#!/bin/sh
# The detector beside spandsp 0.0.6: the same sent keys (8 kHz), the same speech, cost.
#
#   apt-get install libspandsp-dev valgrind asterisk-core-sounds-en-wav   # and -es, -fr, -it, -ru
#   benches/compare.sh [seed]
#
# Accuracy comes from the graded suite, which leaves its 8 kHz lines in a folder for spandsp.
# Instructions come from callgrind: the difference between a short and a long run, so that only
# the detector counts (callgrind has no AVX-512, so that is the AVX2 kernel).
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
speech=${TONEGATE_SPEECH:-/usr/share/asterisk/sounds}

gcc -O2 -o "$work/spandsp" benches/spandsp.c -lspandsp -ltiff -lm
cargo build --release --bench detector 2>/dev/null
bench=$(cargo bench --bench detector --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*\/detector-[^"]*\)".*/\1/p' | tail -1)

echo "== sent keys, mandatory, all rates (ours) and 8 kHz (spandsp)"
mkdir "$work/mandatory"
TONEGATE_SEED=${1:-$(date +%s)} TONEGATE_DUMP="$work/mandatory" \
    cargo test --release --test dtmf -- --nocapture the_mandatory_box 2>/dev/null |
    grep -E '^(mandatory|latency|onset|end|8000)' || true
find "$work/mandatory" -name '*.wav' -exec "$work/spandsp" {} +

echo "== speech"
TONEGATE_SPEECH=$speech cargo test --release --test dtmf -- --nocapture speech 2>/dev/null |
    grep -E '^(talk-off|false)' || true
echo "$speech" | tr ':' '\n' | while read -r folder; do
    find -L "$folder" -name '*.wav' -exec "$work/spandsp" {} +
done

count() { # instructions of a command, with TONEGATE_ONCE set to the first argument
    spec=$1
    shift
    TONEGATE_ONCE=$spec valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}
echo "== instructions a sample"
for rate in 8000 16000 24000 48000; do
    for sound in noise pulses silence keys; do
        short=$(count "$rate:$sound:2" "$bench")
        long=$(count "$rate:$sound:12" "$bench")
        awk "BEGIN { printf \"ours, $rate Hz, $sound: %.2f\n\", ($long - $short) / 10 / $rate }"
    done
done
short=$(count - "$work/spandsp" --once 2)
long=$(count - "$work/spandsp" --once 12)
awk "BEGIN { printf \"spandsp, 8000 Hz, noise: %.2f\n\", ($long - $short) / 10 / 8000 }"

echo "== time"
"$work/spandsp" --time 2000
"$bench" --bench detector/ --quick 2>/dev/null | grep -E 'time:|thrpt:' || true
