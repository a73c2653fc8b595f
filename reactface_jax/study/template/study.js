// A study's page. Behind its server each answer is sent at once; from disk all are kept in the browser and handed out
// as a file of the same form at the end.

const ABOUT = JSON.parse(document.getElementById("about").textContent);
const byId = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const LETTERS = ["A", "B"];
const WATCHED = 0.9; // of a video's length that must have been played
const PAUSE = 2000; // before an answer that did not arrive is sent again (ms)

const state = { participant: "", plan: 0, trials: [], answered: new Set(), lines: [], shown: 0 };

// ---- Who takes part, and where he was

function participant() {
  const given = query.get("participant") || query.get("PROLIFIC_PID") || "";
  if (/^[A-Za-z0-9_-]{1,64}$/.test(given)) return given;
  const kept = kept_("participant");
  if (kept) return kept;
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  const made = "p" + [...bytes].map((x) => x.toString(16).padStart(2, "0")).join("");
  keep("participant", made);
  return made;
}

// Private windows and pages from disk may refuse storage: then a reload begins anew.
function keep(name, value) {
  try { localStorage.setItem(`${ABOUT.study}:${name}`, value); } catch { /* nothing to do */ }
}
function kept_(name) {
  try { return localStorage.getItem(`${ABOUT.study}:${name}`); } catch { return null; }
}

async function post(path, content) {
  const reply = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });
  const found = await reply.json().catch(() => ({ says: `The server answered ${reply.status}.` }));
  if (!reply.ok) throw Object.assign(new Error(found.says), { final: reply.status < 500 });
  return found;
}

async function begin() {
  state.participant = participant();
  if (ABOUT.served) {
    const found = await post("begin", { participant: state.participant });
    state.trials = found.trials;
    state.answered = new Set(found.answered);
    return;
  }
  const old = JSON.parse(kept_(`lines:${state.participant}`) || "[]");
  const asked = Number(query.get("plan"));
  const drawn = crypto.getRandomValues(new Uint32Array(1))[0] % ABOUT.plans.length;
  state.plan = old.length ? old[0].plan : asked >= 1 && asked <= ABOUT.plans.length ? asked - 1 : drawn;
  state.trials = ABOUT.plans[state.plan];
  state.lines = old.length ? old : [{ study: ABOUT.study, participant: state.participant, plan: state.plan, began: new Date().toISOString() }];
  state.answered = new Set(state.lines.slice(1).map((line) => line.trial));
}

async function store(line) {
  if (!ABOUT.served) {
    state.lines.push({ ...line, at: new Date().toISOString() });
    keep(`lines:${state.participant}`, JSON.stringify(state.lines));
    return;
  }
  for (;;) {
    try {
      await post("answer", { participant: state.participant, ...line });
      byId("unsent").hidden = true;
      return;
    } catch (error) {
      if (error.final) throw error;
      say("unsent", "The answer could not be stored yet; it is sent again until it arrives. Keep this page open.");
      await new Promise((done) => setTimeout(done, PAUSE));
    }
  }
}

function say(id, text) {
  byId(id).textContent = text;
  byId(id).hidden = false;
}

// ---- A trial

function questionsOf(trial) {
  if (trial.kind === "check") return [["check", `Attention check: please choose video ${LETTERS[trial.choose]}.`]];
  if (trial.kind === "speaker") return [["speaker", ABOUT.speaker]];
  return trial.asked.map((name) => [name, ABOUT.questions[name][trial.kind === "rating" ? 1 : 0]]);
}

function show() {
  const number = state.trials.findIndex((_, i) => !state.answered.has(i));
  byId("begin").hidden = true;
  byId("progress").hidden = false;
  byId("bar").max = state.trials.length;
  byId("bar").value = state.answered.size;
  byId("place").textContent = `${Math.min(state.answered.size + 1, state.trials.length)} of ${state.trials.length}`;
  if (number < 0) return finish();
  const trial = state.trials[number];
  const rating = trial.kind === "rating";
  byId("trial").hidden = false;
  byId("trial").dataset.number = number;
  byId("task").textContent = rating ? "Watch the video, then answer." : "Watch both videos, then answer.";
  byId("videos").className = rating ? "videos one" : "videos";
  byId("videos").replaceChildren(...trial.videos.map((name, i) => player(name, rating ? "Video" : `Video ${LETTERS[i]}`)));
  byId("questions").replaceChildren(...questionsOf(trial).map(([name, text]) => question(name, text, rating)));
  state.shown = performance.now();
  update();
  byId("task").focus();
  scrollTo(0, 0);
}

function player(name, label) {
  const figure = document.createElement("figure");
  const video = document.createElement("video");
  const caption = document.createElement("figcaption");
  const note = document.createElement("span");
  Object.assign(video, { controls: true, playsInline: true, preload: "auto", src: ABOUT.videos + name });
  video.setAttribute("aria-label", label);
  video.disablePictureInPicture = true;
  video.addEventListener("play", () => {
    for (const other of document.querySelectorAll("video")) if (other !== video) other.pause();
  });
  for (const event of ["ended", "pause", "timeupdate"]) {
    video.addEventListener(event, () => {
      if (figure.classList.contains("seen") || !wasWatched(video)) return;
      figure.classList.add("seen");
      note.textContent = "watched ✓";
      update();
    });
  }
  video.addEventListener("error", () => { note.textContent = "can't be played: reload the page, or try another browser"; });
  note.textContent = "not watched yet";
  caption.append(label, note);
  figure.append(video, caption);
  return figure;
}

function wasWatched(video) {
  let played = 0;
  for (let i = 0; i < video.played.length; i++) played += video.played.end(i) - video.played.start(i);
  return video.duration > 0 && played >= WATCHED * video.duration;
}

function question(name, text, rating) {
  const field = document.createElement("fieldset");
  const legend = document.createElement("legend");
  const choices = document.createElement("div");
  legend.textContent = text;
  choices.className = "choices";
  const values = rating ? [...Array(ABOUT.steps).keys()].map((i) => [i + 1, String(i + 1)]) : LETTERS.map((letter, i) => [i, letter]);
  for (const [value, label] of values) {
    const box = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name, value, required: true });
    box.append(input, label);
    choices.append(box);
  }
  if (rating) {
    const ends = ["not at all", "very much"].map((word) => Object.assign(document.createElement("span"), { textContent: word }));
    choices.prepend(ends[0]);
    choices.append(ends[1]);
  }
  field.append(legend, choices);
  return field;
}

function update() {
  const figures = [...document.querySelectorAll("figure")];
  const waiting = figures.filter((figure) => !figure.classList.contains("seen")).length;
  const names = new Set([...document.querySelectorAll("#questions input")].map((input) => input.name));
  const chosen = document.querySelectorAll("#questions input:checked").length;
  byId("questions").disabled = waiting > 0;
  byId("next").disabled = waiting > 0 || chosen < names.size;
  byId("hint").textContent = waiting ? `The questions open when ${figures.length > 1 ? "both videos have" : "the video has"} played to the end.` : "";
}

async function answer(event) {
  event.preventDefault();
  if (byId("next").disabled) return;
  byId("next").disabled = true;
  const number = Number(byId("trial").dataset.number);
  const answers = {};
  for (const input of document.querySelectorAll("#questions input:checked")) answers[input.name] = Number(input.value);
  const seconds = Math.round(performance.now() - state.shown) / 1000;
  try {
    await store({ trial: number, answers, seconds });
  } catch (error) {
    say("unsent", error.message);
    return;
  }
  state.answered.add(number);
  show();
}

function finish() {
  byId("trial").hidden = true;
  byId("videos").replaceChildren();
  byId("end").hidden = false;
  byId("place").textContent = "done";
  if (ABOUT.served) {
    byId("done").textContent = `Your answers are stored. You can close this page. If you were asked for a code, it is ${ABOUT.study.slice(0, 8)}.`;
  } else {
    const text = state.lines.map((line) => JSON.stringify(line)).join("\n") + "\n";
    byId("done").textContent = "One step is left: save the file with your answers and give it to whoever asked you.";
    Object.assign(byId("save"), { hidden: false, download: `${state.participant}.jsonl`, href: URL.createObjectURL(new Blob([text], { type: "application/x-ndjson" })) });
  }
  byId("thanks").focus();
}

// ---- Events

byId("trial").addEventListener("submit", answer);
byId("questions").addEventListener("change", update);
byId("start").addEventListener("click", show);
addEventListener("keydown", (event) => {
  const index = LETTERS.findIndex((letter) => letter.toLowerCase() === event.key.toLowerCase());
  const video = document.querySelectorAll("video")[index];
  if (!video || event.ctrlKey || event.metaKey || event.altKey) return;
  if (video.paused) video.play().catch(() => {});
  else video.pause();
});

begin().then(() => {
  const left = state.trials.length - state.answered.size;
  byId("extent").textContent = state.answered.size
    ? `Welcome back: ${left} of ${state.trials.length} pages are left.`
    : `There are ${left} pages.`;
  byId("start").disabled = false;
}).catch((error) => say("trouble", error.final ? error.message : "The study can't be reached; try again later."));
byId("start").disabled = true;
