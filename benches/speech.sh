#!/bin/sh
# Recorded speech that no threshold was made with, as WAV files at 8 kHz: some 9 hours, a dozen languages.
#
#   apt-get install sox libsox-fmt-all
#   benches/speech.sh FOLDER
#   TONEGATE_SPEECH=FOLDER cargo test --release --test dtmf speech -- --nocapture
#   TONEGATE_SPEECH=FOLDER benches/compare.sh       # the same beside spandsp
#
# The recordings are those of Debian packages, which are fetched and unpacked, not installed: spoken
# names of pictures (tuxpaint), dialogues of a game (fillets-ng), sentences (festvox-ru), letters and
# words (klettres, ktuberling).
set -eu
folder=$(mkdir -p "$1" && cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

take() { # package, what of its paths is speech
    mkdir "$work/$1"
    (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "$1" && dpkg-deb -x "$1"_*.deb "$1" && rm "$1"_*.deb)
    (cd "$work/$1" && find . -type f \( -name '*.ogg' -o -name '*.wav' \) -path "$2") |
        grep -viE 'dtmf|beep|music|sfx' |
        while read -r file; do
            out="$folder/$1/${file%.*}.wav"
            mkdir -p "${out%/*}"
            sox "$work/$1/$file" -r 8000 -c 1 -b 16 "$out" 2>/dev/null </dev/null || rm -f "$out"
        done
    printf '%s: %s files\n' "$1" "$(find "$folder/$1" -name '*.wav' | wc -l)"
    rm -rf "${work:?}/$1"
}

take tuxpaint-stamps-default '*_desc*'
take fillets-ng-data-cs '*/sound/*'
take fillets-ng-data-nl '*/sound/*'
take festvox-ru '*'
take klettres-data '*'
take ktuberling-data '*/sounds/*/*'
