// Three channels over the last seconds: the speaker's, dashed, and those of the faces that are shown.

const SECONDS = 10;
const USUAL = ["mouthSmileLeft", "rotation_x", "eyeBlinkLeft"];
const WORDS = { rotation_x: "nod", rotation_y: "turn", rotation_z: "tilt" };

class Curves {
  constructor(parent) {
    this.history = []; // [speaker, faces] of each frame
    this.rows = USUAL.map((name) => {
      const row = document.createElement("div"), select = document.createElement("select"), canvas = document.createElement("canvas");
      row.className = "curve";
      select.append(...PAGE.channels.map((each, i) => new Option(WORDS[each] || each, i, each === name, each === name)));
      select.setAttribute("aria-label", "channel");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", "a coefficient over the last ten seconds");
      row.append(select, canvas);
      parent.append(row);
      select.addEventListener("change", () => this.draw([0], 0));
      return { select, canvas };
    });
  }

  add(speaker, faces) {
    this.history.push([speaker, faces]);
    if (this.history.length > 25 * SECONDS) this.history.shift();
  }

  clear() {
    this.history.length = 0;
  }

  // `shown` are the numbers of the reactions, `leads` that of the thick line.
  draw(shown, leads) {
    for (const { select, canvas } of this.rows) this.#row(canvas, select.selectedIndex, shown, leads);
  }

  #row(canvas, channel, shown, leads) {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      Object.assign(canvas, { width: width * ratio, height: height * ratio });
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.lineJoin = "round";
    const weight = channel < 52, rest = weight ? 0 : PAGE.neutral[channel], [low, high] = weight ? [0, 1] : [-0.35, 0.35];
    const y = (value) => 5 + (height - 10) * (1 - Math.min(1, Math.max(0, (value - rest - low) / (high - low))));
    const line = (name, thick, dashes, value) => {
      pen.beginPath();
      pen.strokeStyle = colour(name);
      pen.lineWidth = thick;
      pen.setLineDash(dashes);
      this.history.forEach((moment, i) => pen.lineTo((i * width) / (25 * SECONDS), y(value(moment))));
      pen.stroke();
    };
    pen.fillStyle = colour("line");
    pen.fillRect(0, y(rest), width, 1);
    line("muted", 1, [4, 3], ([speaker]) => speaker[channel] || rest);
    for (const k of shown) line("accent", k === leads ? 2 : 0.8, [], ([, faces]) => faces[k][channel]);
  }
}
