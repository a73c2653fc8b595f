// The page: sends what the camera sees and the microphone hears, draws what comes back at 25 frames a second.

const WAITING = 4; // frames that may wait to be drawn when a chunk comes before the oldest are left out
const SPARE = 1; // frames that wait then as a rule; while there are more, faces move a little faster
const EVERY = 40, HURRIED = 32; // ms a frame

const state = {
  socket: null, capture: null, faces: null, frames: [], shown: null, paused: false, latencies: [], dropped: 0, leftOut: 0, count: 0,
  every: EVERY, reactions: PAGE.reactions, chosen: 0, curves: new Curves(byId("curves")),
  get history() { return this.curves.history; },
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
      if (state.socket === socket) state.socket = null;
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

// A status: whether the face is seen, and a sentence where something is amiss.
function note(status) {
  Object.assign(state, { status });
  if (state.capture) say(status.says || state.capture.says);
}

// Reactions: number of the first frame, time of its chunk's last sample or picture, K, frames, pictures left out, then
// the speaker's coefficients and those of all reactions.
function take(buffer) {
  const view = new DataView(buffer);
  const [number, seen, count, width] = [view.getUint32(0), view.getFloat64(4), view.getUint8(12), view.getUint8(13)];
  state.leftOut = view.getUint16(14);
  const values = new Float32Array(buffer, 16);
  const channels = PAGE.channels.length;
  const row = (i) => values.subarray(i * channels, (i + 1) * channels);
  for (let t = 0; t < width; t++) {
    const faces = Array.from({ length: count }, (_, k) => row((k + 1) * width + t));
    state.frames.push({ number: number + t, seen, first: t === 0, speaker: row(t), faces });
  }
  while (state.frames.length > width + WAITING) { state.frames.shift(); state.dropped++; }
  state.every = state.frames.length > width + SPARE ? HURRIED : EVERY;
}

// Which reactions are shown: the first ones, or the one that leads.
const shown = () => (state.reactions === 1 ? [state.chosen] : Array.from({ length: state.reactions }, (_, k) => k));

let due = 0, drawn = "";
function draw(now) {
  requestAnimationFrame(draw);
  if (!state.paused && state.frames.length && now >= due - 2) {
    due = now - due > 3 * EVERY ? now + EVERY : due + state.every;
    const frame = state.frames.shift();
    if (frame.first) {
      state.latencies.push(performance.now() - 1000 * frame.seen);
      if (state.latencies.length > 250) state.latencies.shift();
    }
    state.shown = frame;
    state.count++;
    state.curves.add(frame.speaker, frame.faces);
    state.curves.draw(shown(), state.chosen);
  }
  if (!state.faces) return;
  // 25 pictures a second at most: what is shown already is not drawn again.
  const places = boxes(), numbers = shown(), canvas = byId("faces");
  const wanted = [state.count, numbers, canvas.clientWidth, canvas.clientHeight, window.devicePixelRatio, colour("cell")].join();
  if (wanted === drawn) return;
  drawn = wanted;
  state.faces.draw(places, numbers.map((k) => state.shown?.faces[k] ?? NEUTRAL));
}

const NEUTRAL = Float32Array.from(PAGE.neutral);

// Places of the faces: as large as fits, on a narrow page two beside each other.
function boxes() {
  const canvas = byId("faces"), count = state.reactions, width = canvas.clientWidth;
  const columns = count === 1 ? 1 : count === 3 && width >= 520 ? 3 : 2;
  const rows = Math.ceil(count / columns);
  const size = Math.min(width / columns, Math.max(220, Math.min(560, window.innerHeight * 0.66)) / rows);
  const height = `${Math.round(size * rows)}px`;
  if (canvas.style.height !== height) canvas.style.height = height;
  const left = (width - size * columns) / 2;
  return Array.from({ length: count }, (_, k) => ({ x: left + (k % columns) * size, y: Math.floor(k / columns) * size, size }));
}

// What stands on the faces: their numbers, to choose the one that leads.
function label() {
  const cells = state.reactions === 1 ? [] : boxes().map((box, k) => {
    const cell = document.createElement("button"), number = document.createElement("span");
    cell.className = "cell";
    cell.setAttribute("aria-pressed", k === state.chosen);
    number.textContent = k + 1;
    Object.assign(cell.style, { position: "absolute", left: `${box.x}px`, top: `${box.y}px`, width: `${box.size}px`, height: `${box.size}px` });
    cell.append(number);
    cell.addEventListener("click", () => choose(k));
    return cell;
  });
  byId("cells").replaceChildren(...cells);
}

function choose(k) {
  state.chosen = k;
  byId("chosen").querySelectorAll("input").forEach((input, i) => {
    input.checked = i === k;
    input.disabled = state.reactions > 1 && i >= state.reactions;
  });
  label();
  state.curves.draw(shown(), k);
  tell(settings());
}

function show(count) {
  state.reactions = count;
  choose(count > 1 && state.chosen >= count ? 0 : state.chosen);
}

function figures() {
  const sorted = [...state.latencies].sort((a, b) => a - b);
  const at = (share) => (sorted.length ? `${Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))])} ms` : "-");
  const rows = { "latency p50": at(0.5), "latency p99": at(0.99), "pictures left out": state.leftOut + (state.capture?.skipped ?? 0), "faces left out": state.dropped };
  byId("figures").replaceChildren(...Object.entries(rows).flatMap(([name, value]) => ["dt", "dd"].map((kind, i) => {
    const element = document.createElement(kind);
    element.textContent = i ? value : name;
    return element;
  })));
}

function send(message) {
  if (!state.socket || state.socket.bufferedAmount > 500_000) return false;
  state.socket.send(message);
  return true;
}

function hear(hears) {
  state.capture.says = hears ? "" : "No microphone: the listener sees you and does not hear you.";
  tell({ hears, ...settings() });
  say(state.capture.says);
}

function ended(kind) {
  if (kind === "audio") hear(false);
  else stop("The camera has ended. Connect it, or allow it again, then press Start.", true);
}

async function start() {
  byId("start").disabled = true;
  say("Connecting …");
  const capture = new Capture(send, ended);
  try {
    await connect();
    state.capture = capture;
    const hears = await capture.open(byId("camera"));
    if (capture.closed) return; // the connection ended meanwhile
    hear(hears);
    byId("own").classList.add("on");
    Object.assign(byId("start"), { textContent: "Stop", disabled: false });
    byId("pause").disabled = byId("reset").disabled = false;
  } catch (error) {
    if (!capture.closed) stop(error.message, true);
  }
}

function stop(text = "", error = false) {
  const { capture, socket } = state;
  Object.assign(state, { capture: null, socket: null, frames: [], latencies: [], paused: false });
  capture?.close();
  socket?.close(1000);
  byId("own").classList.remove("on");
  byId("pause").textContent = "Pause";
  Object.assign(byId("start"), { textContent: "Start", disabled: false });
  byId("pause").disabled = byId("reset").disabled = true;
  say(text, error);
}

function begin() {
  state.curves.clear();
  Object.assign(state, { frames: [], latencies: [], dropped: 0 });
  tell({ ...settings(), reset: true });
}

const settings = () => ({
  amplitude: Number(byId("amplitude").value), smile: Number(byId("smile").value), nod: Number(byId("nod").value),
  chosen: state.chosen, seed: Math.floor(Number(byId("seed").value)) || 0, paused: state.paused,
});

for (const name of ["amplitude", "smile", "nod"]) {
  const input = byId(name), output = input.parentElement.querySelector("output");
  const write = () => { output.textContent = Number(input.value).toFixed(2); };
  input.value = PAGE[name];
  write();
  input.addEventListener("input", () => { write(); tell(settings()); });
}

function segments(id, act) {
  byId(id).append(...Array.from({ length: PAGE.most }, (_, k) => {
    const label = document.createElement("label"), input = document.createElement("input");
    Object.assign(input, { type: "radio", name: id, value: k, checked: k === (id === "reactions" ? PAGE.reactions - 1 : 0) });
    label.append(input, k + 1);
    input.addEventListener("change", () => act(k));
    return label;
  }));
}

segments("reactions", (k) => show(k + 1));
segments("chosen", choose);
byId("reactions").hidden = byId("chosen").hidden = PAGE.most === 1;
byId("start").addEventListener("click", () => (state.capture ? stop() : start()));
byId("pause").addEventListener("click", () => {
  state.paused = !state.paused;
  byId("pause").textContent = state.paused ? "Go on" : "Pause";
  tell(settings());
});
byId("reset").addEventListener("click", begin);
byId("seed").value = PAGE.seed;
byId("seed").addEventListener("change", begin);
new ResizeObserver(() => { label(); state.curves.draw(shown(), state.chosen); }).observe(byId("stage"));
setInterval(figures, 500);
figures();
Faces.open(byId("faces")).then((faces) => {
  state.faces = faces;
  if (!faces) say("This browser has no WebGL 2, which draws the head. Use a current Firefox, Chrome or Safari.", true);
  requestAnimationFrame(draw);
  show(state.reactions);
});
