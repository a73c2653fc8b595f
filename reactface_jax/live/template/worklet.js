// Sound in blocks of 20 ms at 16 kHz, with the context's time of each block's first sample. The context runs at a rate
// of its own: Firefox takes a microphone into no other.

const RATE = 16000;
const LOBES = 16; // of the sinc that brings sound to that rate, on either side of its middle

class Tap extends AudioWorkletProcessor {
  constructor() {
    super();
    const pass = Math.min(1, RATE / sampleRate); // share of the incoming band that is kept
    this.half = Math.ceil(LOBES / pass);
    this.pass = pass;
    this.recent = new Float32Array(2 * this.half); // the last samples, in a ring
    this.filters = new Map();
    this.taken = 0;
    this.given = 0;
    this.block = new Int16Array(RATE / 50);
    this.begun = 0;
  }

  process([input]) {
    if (!input.length) return true;
    for (let i = 0; i < input[0].length; i++) {
      let sum = 0;
      for (const channel of input) sum += channel[i];
      this.recent[this.taken++ % this.recent.length] = sum / input.length;
      this.#give(currentTime + (i + 1) / sampleRate);
    }
    return true;
  }

  // What can be known by a time (s): sample n lies at the incoming sample n * sampleRate / RATE.
  #give(now) {
    for (;;) {
      const place = this.given * sampleRate, rest = place % RATE, before = (place - rest) / RATE;
      if (before + this.half >= this.taken) return;
      const filled = this.given++ % this.block.length;
      if (filled === 0) this.begun = now - (this.taken - place / RATE) / sampleRate;
      this.block[filled] = Math.max(-1, Math.min(1, this.#between(before, rest))) * 32767;
      if (filled < this.block.length - 1) continue;
      const whole = this.block.slice();
      this.port.postMessage({ time: this.begun, samples: whole }, [whole.buffer]);
    }
  }

  // The sound `rest` / RATE of a sample behind an incoming one.
  #between(before, rest) {
    if (!this.filters.has(rest)) this.filters.set(rest, this.#filter(rest / RATE));
    const filter = this.filters.get(rest), length = filter.length;
    const first = before - this.half + 1 + length; // below zero is silence
    let sum = 0;
    for (let k = 0; k < length; k++) sum += filter[k] * this.recent[(first + k) % length];
    return sum;
  }

  // Weights of the samples around a place, a sinc under Hann's window; together they are 1.
  #filter(fraction) {
    const weights = Float64Array.from({ length: 2 * this.half }, (_, k) => {
      const x = k - this.half + 1 - fraction, angle = Math.PI * x * this.pass;
      return (angle === 0 ? 1 : Math.sin(angle) / angle) * Math.cos((Math.PI * x) / (2 * this.half)) ** 2;
    });
    const total = weights.reduce((sum, weight) => sum + weight);
    return weights.map((weight) => weight / total);
  }
}

registerProcessor("tap", Tap);
