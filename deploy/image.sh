#!/bin/sh
# image.sh PROGRAM FOLDER: the file system of the image. The program, the few libraries that it links, the roots
# that `roots = "system"` means, who and where it is; no shell, no package manager, nothing to write to.
# The Dockerfile runs it, and a test, which then runs the program in there.
set -eu
program=$1
root=$2
mkdir -p "$root/etc/ssl/certs" "$root/etc/tonegate"
cp "$program" "$root/tonegate"
chmod 0755 "$root/tonegate"
ldd "$program" >"$root/libraries"
grep -o '/[^ )]*' "$root/libraries" | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
rm "$root/libraries"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
echo 'tonegate:x:65532:65532::/:/tonegate' >"$root/etc/passwd"
echo 'tonegate:x:65532:' >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
