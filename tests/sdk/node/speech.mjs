// What the clients of the SDK tests say.

export const RATE = 24_000;
export const CHUNK = (RATE / 50) * 2; // 20 ms of 16-bit samples

// Noise on a 150 Hz pitch under a 4 Hz envelope that never falls silent. Whole numbers only, and
// the same ones as in speech.py: all clients say the same bytes. No stretch of it occurs twice,
// so a reply that lost or repeated a piece cannot pass for whole.
export function pseudoSpeech(seconds) {
  const count = Math.trunc(seconds * 50) * (CHUNK / 2);
  const bytes = Buffer.alloc(count * 2);
  let state = 1;
  for (let n = 0; n < count; n++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const noise = (state >>> 18) - 8192;
    const pitch = Math.abs((n % 160) - 80) * 200 - 8000;
    const envelope = 64 + Math.trunc((Math.abs((n % 6000) - 3000) * 192) / 3000);
    bytes.writeInt16LE(((noise + pitch) * envelope) >> 8, n * 2);
  }
  return bytes;
}
