// Camera and microphone as timed messages: "F" and a JPEG, "A" and 16-bit samples at 16 kHz. Times are seconds of
// performance.now().

const FRAME_EVERY = 1000 / 25;
const SIDE = 480; // of the pictures that are sent, the longer one

class Capture {
  // `send` takes a message and says whether it went; `ended` is told "video" or "audio" when that is taken away.
  constructor(send, ended) {
    Object.assign(this, { send, ended, closed: false, lastSample: 0, skipped: 0, says: "" });
    this.canvas = document.createElement("canvas");
  }

  // Whether there is a microphone besides the camera; without a camera the reason is an Error's. It may be closed
  // meanwhile, while the browser asks whether they may be used.
  async open(video) {
    await this.#ask();
    if (this.closed) return this.close();
    for (const track of this.media.getTracks()) track.addEventListener("ended", () => this.closed || this.ended(track.kind));
    video.srcObject = this.media;
    await video.play();
    if (this.closed) return;
    this.video = video;
    this.#pictures();
    if (!this.media.getAudioTracks().length) return false;
    try {
      await this.#listen();
      return true;
    } catch (error) {
      console.warn("The microphone can't be heard:", error);
      this.context?.close();
      this.context = null;
      return false;
    }
  }

  async #ask() {
    if (!navigator.mediaDevices) throw new Error("This page must be opened as http://127.0.0.1 or over https.");
    const want = { video: { width: 640, height: 480, frameRate: 30, facingMode: "user" } };
    const voice = { echoCancellation: true, noiseSuppression: false, autoGainControl: false };
    try {
      this.media = await navigator.mediaDevices.getUserMedia({ ...want, audio: voice });
    } catch (error) {
      if (error.name === "NotAllowedError") throw new Error("The camera was refused. Allow it for this page (the sign beside the address), then press Start again.");
      try {
        this.media = await navigator.mediaDevices.getUserMedia(want);
      } catch (again) {
        const why = { NotFoundError: "No camera was found. Connect one", NotReadableError: "The camera is used by another program. Close that" };
        throw new Error(`${why[again.name] || `The camera can't be opened (${again.message}). Choose another`}, then press Start again.`);
      }
    }
  }

  #pictures() {
    let next = performance.now();
    const take = async () => {
      if (!this.media) return;
      const now = performance.now();
      if (now >= next - 2 && this.video.videoWidth && !this.encoding) {
        next = Math.max(next + FRAME_EVERY, now);
        this.encoding = true;
        const scale = SIDE / Math.max(this.video.videoWidth, this.video.videoHeight);
        this.canvas.width = Math.round(this.video.videoWidth * scale);
        this.canvas.height = Math.round(this.video.videoHeight * scale);
        this.canvas.getContext("2d").drawImage(this.video, 0, 0, this.canvas.width, this.canvas.height);
        const blob = await new Promise((done) => this.canvas.toBlob(done, "image/jpeg", 0.85));
        if (this.media && blob) this.#message("F", now / 1000, new Uint8Array(await blob.arrayBuffer()));
        this.encoding = false;
      }
      setTimeout(take, 4);
    };
    take();
  }

  async #listen() {
    const context = this.context = new AudioContext();
    await context.audioWorklet.addModule("worklet.js");
    const tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0 });
    tap.port.onmessage = ({ data }) => {
      if (!this.context) return; // closed, and this was on its way
      // The context's clock against the page's, from the time at which both were read last.
      const stamp = context.getOutputTimestamp();
      const offset = stamp.performanceTime ? stamp.performanceTime / 1000 - stamp.contextTime : this.fallback(data);
      const time = data.time + offset;
      this.lastSample = time + data.samples.length / 16000;
      this.#message("A", time, new Uint8Array(data.samples.buffer));
    };
    context.createMediaStreamSource(this.media).connect(tap);
    await context.resume();
  }

  fallback({ time, samples }) {
    this.offset ??= performance.now() / 1000 - time - samples.length / 16000;
    return this.offset;
  }

  #message(kind, time, bytes) {
    const message = new Uint8Array(9 + bytes.length);
    message[0] = kind.charCodeAt(0);
    new DataView(message.buffer).setFloat64(1, time);
    message.set(bytes, 9);
    if (!this.send(message)) this.skipped++;
  }

  close() {
    this.closed = true;
    this.media?.getTracks().forEach((track) => track.stop());
    this.context?.close();
    this.media = this.context = null;
  }
}
