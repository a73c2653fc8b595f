// What the page holds: JSON, and arrays that are compressed and in base64.

const PAGE = JSON.parse(document.getElementById("page").textContent);

function bytesOf(base64) {
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

async function inflated(id) {
  const bytes = bytesOf(document.getElementById(id).textContent);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

// Tracks of a clip, frame after frame; page/packing.py says how they are packed.
async function tracksOf(about) {
  const bytes = new Uint8Array(await inflated(`tracks-${about.clip}`));
  const channels = PAGE.channels.length;
  let at = 0;
  return about.tracks.map((track) => {
    const size = track.frames * channels;
    const values = new Float32Array(size);
    for (let c = 0; c < channels; c++) {
      let level = 0;
      for (let t = 0; t < track.frames; t++) {
        const i = at + c * track.frames + t;
        const positive = bytes[i] + 256 * bytes[i + size];
        level += positive & 1 ? -(positive + 1) / 2 : positive / 2;
        values[t * channels + c] = about.lowest[c] + level * about.step[c];
      }
    }
    at += 2 * size;
    return { ...track, values };
  });
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const byId = (id) => document.getElementById(id);
