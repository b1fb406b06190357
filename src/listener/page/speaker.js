// What is heard: PCM at 24 kHz as it comes, played without gaps. Runs on the audio thread.
//
// Services send faster than real time, and networks in bursts: playing begins when a little is there,
// and after a gap it waits for as much again.

import { Resampler } from "./resample";

const RATE = 24_000;
const AHEAD = 0.08; // seconds that must wait before playing begins
const PATIENCE = 0.16; // and after so long it begins with less: an answer may be short
const KEPT = 600; // seconds at the most; what comes beyond is left out

registerProcessor(
  "speaker",
  class extends AudioWorkletProcessor {
    constructor() {
      super();
      this.empty();
      this.sum = 0;
      this.count = 0;
      this.port.onmessage = ({ data }) => (data === "stop" ? this.stop() : this.push(data));
    }

    empty() {
      this.resampler = new Resampler(RATE, sampleRate);
      this.pieces = [];
      this.at = 0;
      this.waiting = 0;
      this.since = null;
      this.playing = false;
    }

    stop() {
      const dropped = this.waiting / sampleRate;
      const played = this.playing;
      this.empty();
      if (played) this.port.postMessage({ stopped: dropped });
    }

    push(samples) {
      if (this.waiting > KEPT * sampleRate) return;
      const made = this.resampler.push(samples);
      this.pieces.push(made);
      this.waiting += made.length;
      this.since ??= currentTime;
    }

    process(_, [output]) {
      const [channel] = output;
      const late = this.since !== null && currentTime - this.since > PATIENCE;
      if (!this.playing && this.waiting > 0 && (late || this.waiting > AHEAD * sampleRate)) {
        this.playing = true;
        this.port.postMessage({ began: true });
      }
      for (let n = 0; this.playing && n < channel.length; n++) {
        if (this.waiting === 0) {
          this.playing = false;
          this.since = null;
          this.port.postMessage({ drained: true });
          break;
        }
        const sample = this.pieces[0][this.at++];
        channel[n] = sample;
        this.sum += sample * sample;
        this.waiting--;
        if (this.at === this.pieces[0].length) {
          this.pieces.shift();
          this.at = 0;
          while (this.pieces.length > 0 && this.pieces[0].length === 0) this.pieces.shift();
        }
      }
      this.count += channel.length;
      if (this.count >= sampleRate / 20) {
        this.port.postMessage({ level: Math.sqrt(this.sum / this.count) });
        this.sum = this.count = 0;
      }
      for (const other of output.slice(1)) other.set(channel);
      return true;
    }
  },
);
