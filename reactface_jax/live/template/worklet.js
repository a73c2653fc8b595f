// Sound in blocks of 20 ms at 16 kHz, with the context's time of each block's first sample.

class Tap extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(Math.round(sampleRate / 50));
    this.filled = 0;
    this.begun = 0;
  }

  process([input]) {
    if (!input.length) return true;
    const samples = input[0].length;
    for (let i = 0; i < samples; i++) {
      if (this.filled === 0) this.begun = currentTime + i / sampleRate;
      let sum = 0;
      for (const channel of input) sum += channel[i];
      this.block[this.filled++] = sum / input.length;
      if (this.filled === this.block.length) {
        const whole = new Int16Array(this.filled);
        for (let j = 0; j < this.filled; j++) whole[j] = Math.max(-1, Math.min(1, this.block[j])) * 32767;
        this.port.postMessage({ time: this.begun, samples: whole }, [whole.buffer]);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("tap", Tap);
