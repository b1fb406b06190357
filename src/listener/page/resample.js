// From one sampling rate to another, sample by sample, without gaps between pieces.
//
// A windowed sinc: what the lower of the two rates cannot carry is cut off before it could fold back.

const LOBES = 12; // on each side; the stop band is some 60 dB down
const PHASES = 256; // between two samples; the nearest is taken

export class Resampler {
  constructor(from, to) {
    this.step = from / to;
    const cutoff = Math.min(1, to / from) * 0.94;
    this.half = Math.ceil(LOBES / cutoff);
    this.table = [];
    for (let phase = 0; phase < PHASES; phase++) {
      const taps = new Float32Array(2 * this.half);
      let sum = 0;
      for (let at = 0; at < taps.length; at++) {
        const x = at - this.half + 1 - phase / PHASES;
        const angle = Math.PI * x * cutoff;
        const window = Math.abs(x) < this.half ? Math.cos((Math.PI * x) / (2 * this.half)) ** 2 : 0;
        taps[at] = (x === 0 ? 1 : Math.sin(angle) / angle) * window;
        sum += taps[at];
      }
      this.table.push(taps.map((tap) => tap / sum));
    }
    // What came before the first sample is silence.
    this.kept = new Float32Array(2 * this.half);
    this.position = this.half;
  }

  /** The samples that these, and those before them, make at the other rate. */
  push(samples) {
    const all = new Float32Array(this.kept.length + samples.length);
    all.set(this.kept);
    all.set(samples, this.kept.length);
    const made = [];
    while (Math.floor(this.position) + this.half < all.length) {
      const whole = Math.floor(this.position);
      const taps = this.table[Math.floor((this.position - whole) * PHASES)];
      let sum = 0;
      for (let at = 0; at < taps.length; at++) sum += taps[at] * all[whole - this.half + 1 + at];
      made.push(sum);
      this.position += this.step;
    }
    const done = Math.max(0, Math.floor(this.position) - this.half);
    this.kept = all.slice(done);
    this.position -= done;
    return Float32Array.from(made);
  }
}
