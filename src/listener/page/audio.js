// What is said and what is heard, at 24 kHz: a microphone or a test voice, and a loudspeaker.

export const RATE = 24_000;
const PITCH = 120;
const VOICE_SECONDS = 1.2; // that it speaks, and then it waits for an answer
const VOICE_EVERY = 4;

/** Why there is no microphone, for people. */
export function whyNot(error) {
  switch (error?.name) {
    case "NotAllowedError":
    case "SecurityError":
      return "The microphone was not allowed. Allow it beside the address of this page and connect again, or take the test voice.";
    case "NotFoundError":
    case "OverconstrainedError":
      return "The browser finds no microphone here. Plug one in, or take the test voice.";
    case "NotReadableError":
    case "AbortError":
      return "The microphone cannot be used now; another program may hold it. Close that, or take the test voice.";
    case "InsecureContext":
      return "Browsers give a microphone only to pages that came over HTTPS, or from localhost. The test voice works here, too.";
    default:
      return `There is no microphone: ${error?.message ?? error}. The test voice works without one.`;
  }
}

export class Sound {
  /** Asks for the microphone first, where it is wanted: until somebody has said yes nothing is dialled. */
  static async open(base, source) {
    const stream = source === "microphone" ? await microphone() : null;
    const context = new AudioContext({ latencyHint: "interactive" });
    try {
      await context.resume();
      if (source) await context.audioWorklet.addModule(`${base}/microphone`);
      await context.audioWorklet.addModule(`${base}/speaker`);
    } catch (error) {
      for (const track of stream?.getTracks() ?? []) track.stop();
      await context.close();
      throw error;
    }
    return new Sound(context, stream, source);
  }

  constructor(context, stream, source) {
    this.context = context;
    this.stream = stream;
    this.onPiece = () => {};
    this.onHeard = () => {};
    this.speaker = new AudioWorkletNode(context, "speaker", { numberOfInputs: 0, outputChannelCount: [1] });
    this.speaker.port.onmessage = ({ data }) => this.onHeard(data);
    this.speaker.connect(context.destination);
    if (source) {
      const input = new AudioWorkletNode(context, "microphone", { numberOfOutputs: 0 });
      input.port.onmessage = ({ data }) => this.onPiece(data);
      this.input = stream ? context.createMediaStreamSource(stream) : voice(context);
      this.input.connect(input);
    }
  }

  /** PCM16, to be heard behind what waits. */
  play(pcm) {
    const samples = Float32Array.from(pcm, (sample) => sample / 32_768);
    this.speaker.port.postMessage(samples, [samples.buffer]);
  }

  /** Nothing of what waits is heard. */
  hush() {
    this.speaker.port.postMessage("stop");
  }

  /** Two tones, as a key of a telephone makes them, for whoever presses it. */
  beep(low, high) {
    const { context } = this;
    const gain = context.createGain();
    gain.gain.value = 0.06;
    gain.connect(context.destination);
    for (const frequency of [low, high]) {
      const tone = new OscillatorNode(context, { frequency });
      tone.connect(gain);
      tone.start();
      tone.stop(context.currentTime + 0.1);
    }
  }

  async close() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    if (this.context.state !== "closed") await this.context.close();
  }
}

async function microphone() {
  if (!window.isSecureContext || !navigator.mediaDevices) {
    throw new DOMException("no secure context", "InsecureContext");
  }
  return navigator.mediaDevices.getUserMedia({
    audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  });
}

/** A voice-like sound, now and then: harmonics of a gliding pitch that swell four times a second. */
function voice(context) {
  const rate = context.sampleRate;
  const buffer = context.createBuffer(1, Math.round(VOICE_EVERY * rate), rate);
  speech(buffer.getChannelData(0), rate);
  const source = new AudioBufferSourceNode(context, { buffer, loop: true });
  source.start();
  return source;
}

/** Fills the beginning of `samples` with one sentence. */
export function speech(samples, rate) {
  let phase = 0;
  for (let n = 0; n < VOICE_SECONDS * rate; n++) {
    const time = n / rate;
    phase += (2 * Math.PI * (PITCH + 25 * Math.sin(2 * Math.PI * 0.7 * time))) / rate;
    let sound = 0;
    for (let harmonic = 1; harmonic <= 8; harmonic++) sound += Math.sin(phase * harmonic) / harmonic;
    samples[n] = 0.15 * (0.55 - 0.45 * Math.cos(2 * Math.PI * 4 * time)) * sound;
  }
  return samples;
}

export const toBase64 = (pcm) => {
  let text = "";
  for (const byte of new Uint8Array(pcm.buffer, pcm.byteOffset, pcm.byteLength)) text += String.fromCharCode(byte);
  return btoa(text);
};

export const fromBase64 = (text) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Int16Array(bytes.buffer, 0, bytes.length >> 1);
};
