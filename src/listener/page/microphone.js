// What comes in, as pieces of 20 ms of PCM16 at 24 kHz. Runs on the audio thread.

import { Resampler } from "./resample";

const RATE = 24_000;
const PIECE = RATE / 50;

registerProcessor(
  "microphone",
  class extends AudioWorkletProcessor {
    constructor() {
      super();
      this.resampler = new Resampler(sampleRate, RATE);
      this.piece = new Int16Array(PIECE);
      this.filled = 0;
      this.sum = 0;
    }

    process([input]) {
      const channel = input[0];
      // A source that has ended, or is muted, says nothing; time goes on all the same.
      for (const sample of this.resampler.push(channel ?? new Float32Array(128))) {
        const clipped = Math.max(-1, Math.min(1, sample));
        this.sum += clipped * clipped;
        this.piece[this.filled++] = Math.round(clipped * 32_767);
        if (this.filled === PIECE) {
          this.port.postMessage({ piece: this.piece, level: Math.sqrt(this.sum / PIECE) }, [this.piece.buffer]);
          this.piece = new Int16Array(PIECE);
          this.filled = 0;
          this.sum = 0;
        }
      }
      return true;
    }
  },
);
