#!/bin/sh
# The detector beside spandsp 0.0.6: the same sent keys, the same speech, cost.
#
#   apt-get install libspandsp-dev libtiff-dev      # beside what `make tools` installs
#   benches/compare.sh [seed]
#
# Accuracy comes from the graded suite, which leaves its 8 kHz lines in a folder for spandsp: compare
# its line with ours at 8000 Hz. Instructions come from callgrind: the difference between a short and a
# long run, so that only the detector counts (callgrind has no AVX-512, so that is the AVX2 kernel).
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
speech=${TONEGATE_SPEECH:-/usr/share/asterisk/sounds}

gcc -O2 -o "$work/spandsp" benches/spandsp.c -lspandsp -ltiff -lm
bench=$(cargo bench --locked --bench detector --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*\/detector-[^"]*\)".*/\1/p' | tail -1)
test -x "$bench"
run_test() { cargo test --release --locked --test dtmf -- --nocapture "$@" 2>/dev/null; }

echo "== sent keys, mandatory"
mkdir "$work/mandatory"
TONEGATE_SEED=${1:-$(date +%s)} TONEGATE_DUMP="$work/mandatory" run_test the_mandatory_box >"$work/box" ||
    echo "the suite did not pass"
grep -E '^(mandatory|latency|onset|end|[0-9]+ Hz)' "$work/box"
find "$work/mandatory" -name '*.wav' | sort | "$work/spandsp"

echo "== speech"
TONEGATE_SPEECH=$speech run_test speech >"$work/speech" || echo "the test of speech did not pass"
grep -E '^(talk-off|false)' "$work/speech"
echo "$speech" | tr ':' '\n' | while read -r folder; do find -L "$folder" -name '*.wav'; done |
    "$work/spandsp"

count() { # instructions of a command, with TONEGATE_ONCE set to the first argument
    spec=$1
    shift
    TONEGATE_ONCE=$spec valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}
echo "== instructions a sample"
for rate in 8000 16000 24000 48000; do
    for sound in noise pulses silence 'half silent' keys; do
        short=$(count "$rate:$sound:2" "$bench")
        long=$(count "$rate:$sound:12" "$bench")
        awk "BEGIN { printf \"ours, $rate Hz, $sound: %.2f\n\", ($long - $short) / 10 / $rate }"
    done
done
short=$(count - "$work/spandsp" --once 2)
long=$(count - "$work/spandsp" --once 12)
awk "BEGIN { printf \"spandsp, 8000 Hz, noise: %.2f\n\", ($long - $short) / 10 / 8000 }"

echo "== time, in turns; ratios are to spandsp's sample at 8 kHz"
for turn in 1 2 3; do
    "$work/spandsp" --time 2000
    "$bench" --bench
done | awk '
    /^spandsp/ { theirs = $2; print; next }
    $1 ~ /^[0-9]+$/ { printf "%s   spandsp/this %.1f\n", $0, theirs / $(NF - 2); next }
    { print }'
