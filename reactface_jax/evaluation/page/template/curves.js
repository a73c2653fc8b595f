// One channel over time: reactions against the real listener, other appropriate reactions and the speaker.

class Curves {
  constructor(canvas, seek) {
    this.canvas = canvas;
    const at = (event) => {
      const { left, right } = this.area();
      const share = (event.offsetX - left) / (right - left);
      seek(Math.round(Math.min(1, Math.max(0, share)) * (PAGE.frames - 1)));
    };
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); at(event); });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons & 1) at(event); });
  }

  area() {
    return { left: 44, right: this.canvas.clientWidth - 10, top: 8, bottom: this.canvas.clientHeight - 22 };
  }

  draw(tracks, channel, frame, chosen) {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    const ctx = canvas.getContext("2d");
    ctx.scale(ratio, ratio);
    const { left, right, top, bottom } = this.area();
    const channels = PAGE.channels.length;
    let low = Infinity, high = -Infinity;
    for (const track of tracks)
      for (let t = 0; t < track.frames; t++) {
        const value = track.values[t * channels + channel];
        if (value < low) low = value;
        if (value > high) high = value;
      }
    const slack = 0.06 * (high - low) || 0.05;
    low -= slack; high += slack;
    const x = (t) => left + (t / Math.max(1, PAGE.frames - 1)) * (right - left);
    const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - top);

    ctx.font = "11px system-ui, sans-serif";
    ctx.lineWidth = 1;
    ctx.fillStyle = colour("muted");
    ctx.strokeStyle = colour("line");
    const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
    ctx.textAlign = "right";
    ctx.textBaseline = "middle";
    for (let value = Math.ceil(low / step) * step; value <= high; value += step) {
      ctx.beginPath(); ctx.moveTo(left, y(value)); ctx.lineTo(right, y(value)); ctx.stroke();
      ctx.fillText(value.toFixed(Math.max(0, -Math.floor(Math.log10(step)))), left - 6, y(value));
    }
    ctx.textAlign = "center";
    ctx.textBaseline = "top";
    const seconds = PAGE.frames / PAGE.frame_rate;
    const every = [1, 2, 5, 10, 30, 60].find((gap) => seconds / gap <= 10) || 120;
    for (let second = 0; second <= seconds; second += every)
      ctx.fillText(`${second} s`, Math.max(left + 8, Math.min(right - 10, x(second * PAGE.frame_rate))), bottom + 6);

    const line = (track, style, width, dash = [], alpha = 1) => {
      ctx.strokeStyle = style; ctx.lineWidth = width; ctx.globalAlpha = alpha;
      ctx.setLineDash(dash);
      ctx.beginPath();
      for (let t = 0; t < track.frames; t++) ctx.lineTo(x(t * track.stride), y(track.values[t * channels + channel]));
      ctx.stroke();
      ctx.setLineDash([]); ctx.globalAlpha = 1;
    };
    ctx.lineJoin = "round";
    const of = (kind) => tracks.filter((track) => track.kind === kind);
    of("neighbour").forEach((track) => line(track, colour("grey"), 1.1, [], 0.8));
    of("speaker").forEach((track) => line(track, colour("muted"), 1.3, [4, 3]));
    of("reaction").forEach((track, k) => k !== chosen && line(track, colour("accent"), 1.3, [], chosen < 0 ? 0.75 : 0.3));
    of("listener").forEach((track) => line(track, colour("ink"), 2));
    if (chosen >= 0) line(of("reaction")[chosen], colour("strong"), 2.2);
    ctx.strokeStyle = colour("strong"); ctx.lineWidth = 1;
    ctx.beginPath(); ctx.moveTo(x(frame), top); ctx.lineTo(x(frame), bottom); ctx.stroke();
  }
}
