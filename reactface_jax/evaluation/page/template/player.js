// A clip in step: the recording with its sound, the faces, the curves. The recording is the clock where there is one.

const player = {
  about: null, recorded: false, tracks: [], method: PAGE.method, chosen: -1, channel: 0, frame: 0,
  playing: false, began: 0, beganAt: 0, faces: null, recordings: {},
};
const video = byId("recording");
const curves = new Curves(byId("curves"), (frame) => seek(frame));
const shown = () => player.tracks.filter((track) => track.kind !== "reaction" || track.method === player.method);
const drawn = () => shown().filter((track) => track.kind !== "neighbour");

async function choose(clip) {
  stop();
  const about = PAGE.clips.find((each) => each.clip === clip);
  const tracks = await tracksOf(about);
  Object.assign(player, { about, tracks, frame: 0, recorded: about.recorded });
  document.querySelectorAll(".clip").forEach((button) =>
    button.setAttribute("aria-pressed", String(Number(button.dataset.clip) === clip)));
  byId("player").hidden = false;
  showRecording();
  byId("no-recording").hidden = true;
  if (about.recorded) {
    if (!player.recordings[clip]) {
      const blob = new Blob([bytesOf(byId(`recording-${clip}`).textContent)], { type: "video/mp4" });
      player.recordings[clip] = URL.createObjectURL(blob);
    }
    video.src = player.recordings[clip];
  } else {
    video.removeAttribute("src");
  }
  layOut();
  seek(0);
}

function showRecording() {
  document.querySelector(".recording").hidden = !player.recorded;
  byId("sound-label").hidden = !player.recorded;
}

// Some builds of Chromium and Firefox have no decoder of H.264: the faces go on by a clock of their own.
video.addEventListener("error", () => {
  if (!player.recorded || !video.error) return;
  stop();
  player.recorded = false;
  byId("no-recording").hidden = false;
  showRecording();
});

function layOut() {
  const cells = byId("cells");
  let reaction = 0;
  cells.replaceChildren(...drawn().map((track) => {
    const cell = document.createElement("button");
    cell.type = "button";
    cell.className = track.kind === "reaction" ? "cell" : "cell real";
    const label = document.createElement("span");
    label.textContent = track.label;
    cell.append(label);
    if (track.kind === "reaction") {
      const k = reaction++;
      cell.setAttribute("aria-pressed", "false");
      // Of a key (detail 0), or of a pointer that did not turn the faces.
      cell.addEventListener("click", (event) => { if (event.detail === 0 || !dragged) mark(player.chosen === k ? -1 : k); });
    }
    return cell;
  }));
  mark(Math.min(player.chosen, reaction - 1));
}

function mark(k) {
  player.chosen = k;
  document.querySelectorAll(".cell:not(.real)").forEach((cell, index) => {
    cell.classList.toggle("chosen", index === k);
    cell.setAttribute("aria-pressed", String(index === k));
  });
  draw();
}

// Columns so that cells are as large as their number allows in few rows.
function boxes(count) {
  const width = byId("cells").clientWidth, gap = 6;
  const columns = Math.min(count, Math.max(2, Math.floor(width / 170)));
  const even = Math.ceil(count / Math.ceil(count / columns));
  const size = Math.min((width - gap * (even - 1)) / even, 300);
  const rows = Math.ceil(count / even);
  byId("cells").style.gridTemplateColumns = `repeat(${even}, ${size}px)`;
  byId("cells").style.gridAutoRows = `${size}px`;
  byId("faces").style.height = `${rows * size + gap * (rows - 1)}px`;
  return Array.from({ length: count }, (_, k) => ({
    x: (k % even) * (size + gap), y: Math.floor(k / even) * (size + gap), size,
  }));
}

function draw() {
  if (!player.about) return;
  const channels = PAGE.channels.length;
  if (player.faces) {
    const tracks = drawn();
    player.faces.draw(boxes(tracks.length), tracks.map((track) =>
      track.values.subarray(player.frame * channels, (player.frame + 1) * channels)));
  }
  curves.draw(shown(), player.channel, player.frame, player.chosen);
  byId("time").value = player.frame;
  byId("clock").textContent = `${(player.frame / PAGE.frame_rate).toFixed(2)} of ${(PAGE.frames / PAGE.frame_rate).toFixed(2)} s`;
}

function seek(frame) {
  player.frame = Math.min(PAGE.frames - 1, Math.max(0, frame));
  if (player.recorded) video.currentTime = (player.frame + 0.5) / PAGE.frame_rate;
  player.began = player.frame / PAGE.frame_rate;
  player.beganAt = performance.now();
  draw();
}

async function play() {
  if (player.frame >= PAGE.frames - 1) seek(0);
  player.playing = true;
  byId("play").textContent = "❚❚";
  byId("play").setAttribute("aria-label", "pause");
  player.began = player.frame / PAGE.frame_rate;
  player.beganAt = performance.now();
  if (player.recorded) {
    video.playbackRate = Number(byId("speed").value);
    video.muted = !byId("sound").checked;
    try { await video.play(); } catch { stop(); return; }
  }
  requestAnimationFrame(tick);
}

// Where drawing lags behind the recording, the faces catch up with the picture on which it stops.
function stop() {
  if (player.playing && player.recorded) {
    video.pause();
    player.frame = frameAt(video.currentTime);
    draw();
  }
  player.playing = false;
  byId("play").textContent = "▶";
  byId("play").setAttribute("aria-label", "play");
}

const frameAt = (seconds) => Math.min(PAGE.frames - 1, Math.max(0, Math.floor(seconds * PAGE.frame_rate + 1e-3)));

function tick(now) {
  if (!player.playing) return;
  const speed = Number(byId("speed").value);
  const time = player.recorded ? video.currentTime : player.began + (speed * (now - player.beganAt)) / 1000;
  const frame = frameAt(time);
  if (frame !== player.frame) { player.frame = frame; draw(); }
  if (frame >= PAGE.frames - 1 || video.ended) { stop(); return; }
  requestAnimationFrame(tick);
}

// ---- Dragging turns the faces
let dragged = false;
byId("cells").addEventListener("pointerdown", (event) => {
  if (!event.isPrimary || event.button !== 0) return;
  const from = [event.clientX, event.clientY], orbit = [...(player.faces?.orbit || [0, 0])];
  dragged = false;
  const move = (at) => {
    const [across, down] = [at.clientX - from[0], at.clientY - from[1]];
    if (Math.hypot(across, down) > 4) dragged = true;
    if (!dragged || !player.faces) return;
    player.faces.orbit = [Math.max(-1, Math.min(1, orbit[0] + down / 150)), orbit[1] - across / 150];
    draw();
  };
  const end = () => {
    window.removeEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel"]) window.removeEventListener(name, end); // cancelled by a swipe
  };
  window.addEventListener("pointermove", move);
  for (const name of ["pointerup", "pointercancel"]) window.addEventListener(name, end);
});
byId("cells").addEventListener("dblclick", () => { if (player.faces) { player.faces.orbit = [0, 0]; draw(); } });

// ---- Controls
byId("play").addEventListener("click", () => (player.playing ? stop() : play()));
byId("time").max = PAGE.frames - 1;
byId("time").addEventListener("input", (event) => seek(Number(event.target.value)));
byId("speed").addEventListener("change", () => { if (player.playing) { stop(); play(); } });
byId("sound").addEventListener("change", (event) => { video.muted = !event.target.checked; });
byId("method").append(...PAGE.methods.map((name) => new Option(name, name, false, name === PAGE.method)));
byId("method").addEventListener("change", (event) => { player.method = event.target.value; layOut(); });
byId("method-label").hidden = PAGE.methods.length < 2;
byId("channel").append(...PAGE.channels.map((name, c) => new Option(name, c)));
byId("channel").addEventListener("change", (event) => { player.channel = Number(event.target.value); draw(); });
document.querySelectorAll(".clip").forEach((button) =>
  button.addEventListener("click", () => choose(Number(button.dataset.clip))));
for (const [name, look] of [["reactions", "accent"], ["marked", "strong"], ["real listener", "ink"], ["other appropriate reactions", "grey"], ["speaker", "muted"]]) {
  const item = document.createElement("span");
  item.innerHTML = `<i style="border-color: var(--${look})${name === "speaker" ? "; border-top-style: dashed" : ""}"></i>${name}`;
  byId("legend").append(item);
}
new ResizeObserver(() => draw()).observe(byId("player"));

async function begin() {
  if (byId("head-about")) {
    document.querySelector(".faces").hidden = false;
    player.faces = await Faces.open(byId("faces"));
    if (!player.faces) PAGE.no_head = "This browser has no WebGL 2 to draw the faces with.";
  }
  document.querySelector(".faces").hidden = !player.faces;
  byId("no-faces").hidden = Boolean(player.faces);
  byId("no-faces").textContent = PAGE.no_head;
  const smile = PAGE.channels.findIndex((name) => /smile/i.test(name));
  byId("channel").value = player.channel = Math.max(0, smile);
  if (PAGE.clips.length) await choose(PAGE.clips[0].clip);
}
begin();
