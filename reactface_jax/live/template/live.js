// The page: sends what the camera sees and the microphone hears, draws what comes back at 25 frames a second.

const WAITING = 4; // frames that may wait to be drawn before the oldest are left out
const SECONDS = 10; // of the curve

const state = {
  socket: null, capture: null, faces: null, frames: [], shown: null, paused: false, latencies: [], dropped: 0,
  history: [], reactions: PAGE.reactions, chosen: 0,
};
window.listener = state; // for those who look in from the console, and for tests

const say = (text, error = false) => {
  byId("message").textContent = text;
  byId("message").classList.toggle("error", error);
};

function connect() {
  return new Promise((opened, failed) => {
    const address = new URL(`ws${location.search}`, location.href.replace(/^http/, "ws"));
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => { state.socket = socket; };
    socket.onerror = () => failed(new Error("The program does not answer. Is `reactface live` still running?"));
    socket.onclose = ({ code, reason }) => {
      state.socket = null;
      if (state.capture) stop(reason || (code === 1000 ? "" : "The connection ended. Press Start to begin again."), code !== 1000);
      else failed(new Error(reason || "The connection was refused."));
    };
    socket.onmessage = ({ data }) => {
      if (typeof data !== "string") return take(data);
      opened(); // the first status says that it is ready to look
      note(JSON.parse(data));
    };
  });
}

const tell = (what) => state.socket?.send(JSON.stringify(what));

// A status: who is seen and heard, and a sentence where something is amiss.
function note(status) {
  Object.assign(state, { status });
  if (status.says !== undefined) say(status.says, Boolean(status.error));
}

// Reactions: number of the first frame, time of its chunk's last sample or picture, K, frames, then the speaker's
// coefficients and those of all reactions.
function take(buffer) {
  const view = new DataView(buffer);
  const [number, seen, count, width] = [view.getUint32(0), view.getFloat64(4), view.getUint8(12), view.getUint8(13)];
  const values = new Float32Array(buffer, 16);
  const channels = PAGE.channels.length;
  const row = (i) => values.subarray(i * channels, (i + 1) * channels);
  for (let t = 0; t < width; t++) {
    const faces = Array.from({ length: count }, (_, k) => row((k + 1) * width + t));
    state.frames.push({ number: number + t, seen, first: t === 0, speaker: row(t), faces });
  }
  while (state.frames.length > width + WAITING) { state.frames.shift(); state.dropped++; }
}

let due = 0;
function draw(now) {
  requestAnimationFrame(draw);
  if (!state.paused && state.frames.length && now >= due - 2) {
    due = now - due > 120 ? now + 40 : due + 40;
    const frame = state.frames.shift();
    if (frame.first) {
      const age = performance.now() - 1000 * frame.seen;
      state.latencies.push(age);
      if (state.latencies.length > 250) state.latencies.shift();
    }
    state.shown = frame;
    state.history.push([frame.speaker, frame.faces]);
    if (state.history.length > 25 * SECONDS) state.history.shift();
    curve();
  }
  if (state.faces) state.faces.draw(boxes(), Array.from({ length: state.reactions }, (_, k) => state.shown?.faces[k] ?? NEUTRAL));
}

const NEUTRAL = Float32Array.from(PAGE.neutral);

function boxes() {
  const canvas = byId("faces");
  const columns = Math.min(state.reactions, canvas.clientWidth < 520 ? 2 : 4);
  const size = Math.min(canvas.clientWidth / columns, 460);
  const rows = Math.ceil(state.reactions / columns);
  const height = `${Math.round(size * rows)}px`;
  if (canvas.style.height !== height) canvas.style.height = height;
  const left = (canvas.clientWidth - size * columns) / 2;
  return Array.from({ length: state.reactions }, (_, k) => ({
    x: left + (k % columns) * size, y: Math.floor(k / columns) * size, size,
  }));
}

function curve() {
  const canvas = byId("curve"), ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * ratio)) Object.assign(canvas, { width: width * ratio, height: height * ratio });
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const channel = byId("channel").selectedIndex;
  const rest = PAGE.neutral[channel], reach = channel < 52 ? [0, 1] : [-0.35, 0.35];
  const line = (name, value, thick) => {
    pen.beginPath();
    pen.strokeStyle = colour(name);
    pen.lineWidth = thick;
    state.history.forEach((moment, i) => {
      const y = (value(moment) - (channel < 52 ? 0 : rest) - reach[0]) / (reach[1] - reach[0]);
      pen.lineTo((i * width) / (25 * SECONDS), height * (1 - y) * 0.94 + 3);
    });
    pen.stroke();
  };
  line("muted", ([speaker]) => speaker[channel], 1);
  for (let k = 0; k < state.reactions; k++) line("accent", ([, faces]) => faces[k]?.[channel] ?? NEUTRAL[channel], k ? 0.8 : 2);
}

function figures() {
  const sorted = [...state.latencies].sort((a, b) => a - b);
  const at = (share) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]);
  byId("figures").textContent = sorted.length
    ? `latency p50 ${at(0.5)} ms, p99 ${at(0.99)} ms · left out: ${state.capture?.skipped ?? 0} pictures, ${state.dropped} faces`
    : "";
}

async function start() {
  byId("start").disabled = true;
  say("Connecting …");
  try {
    await connect();
    state.capture = new Capture((message) => {
      if (!state.socket || state.socket.bufferedAmount > 500_000) return false;
      state.socket.send(message);
      return true;
    });
    const hears = await state.capture.open(byId("camera"));
    tell({ hears, ...settings() });
    say(hears ? "" : "No microphone: the listener sees you and does not hear you.");
    Object.assign(byId("start"), { textContent: "Stop", disabled: false });
    byId("pause").disabled = byId("reset").disabled = false;
  } catch (error) {
    stop(error.message, true);
  }
}

function stop(text = "", error = false) {
  state.capture?.close();
  state.capture = null;
  state.socket?.close(1000);
  state.socket = null;
  Object.assign(state, { frames: [], latencies: [] });
  Object.assign(byId("start"), { textContent: "Start", disabled: false });
  byId("pause").disabled = byId("reset").disabled = true;
  say(text, error);
}

const settings = () => ({
  amplitude: Number(byId("amplitude").value), smile: Number(byId("smile").value), nod: Number(byId("nod").value),
  reactions: state.reactions, seed: Number(byId("seed").value), paused: state.paused,
});

for (const name of ["amplitude", "smile", "nod"]) {
  byId(name).addEventListener("input", ({ target }) => {
    target.parentElement.querySelector("output").textContent = Number(target.value).toFixed(2);
    tell(settings());
  });
}
byId("start").addEventListener("click", () => (state.capture ? stop() : start()));
byId("pause").addEventListener("click", () => {
  state.paused = !state.paused;
  byId("pause").textContent = state.paused ? "Go on" : "Pause";
  tell(settings());
});
byId("reset").addEventListener("click", () => {
  Object.assign(state, { frames: [], history: [], latencies: [], dropped: 0 });
  tell({ ...settings(), reset: true });
});
byId("seed").value = PAGE.seed;
byId("seed").addEventListener("change", () => tell({ ...settings(), reset: true }));
byId("reactions").append(...[1, 2, 3, 4].map((k) => new Option(k, k, k === PAGE.reactions, k === PAGE.reactions)));
byId("reactions").addEventListener("change", ({ target }) => {
  state.reactions = Number(target.value);
  tell({ ...settings(), reset: true });
});
const usual = PAGE.channels.indexOf("mouthSmileLeft");
byId("channel").append(...PAGE.channels.map((name, i) => new Option(name, i, i === usual, i === usual)));
setInterval(figures, 500);
Faces.open(byId("faces")).then((faces) => {
  state.faces = faces;
  if (!faces) say("This browser has no WebGL 2, which draws the head. Use a current Firefox, Chrome or Safari.", true);
  requestAnimationFrame(draw);
});
