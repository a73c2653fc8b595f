// Draws faces side by side: one mesh whose vertices the graphics card moves by each face's coefficients.

const TEXELS = 2048; // a row of the textures that hold the shapes

const TEETH = "0.6, 0.9"; // where rendering/arkit_head/mesh.py has their colour in the texture, from its upper left
// Little light falls between lips that are nearly closed: without this teeth shine through as white seams.
const SHADE = 0.12, OPEN = 0.1, OPENS = { jawOpen: 1, mouthUpperUpLeft: 0.5, mouthUpperUpRight: 0.5, mouthLowerDownLeft: 0.5, mouthLowerDownRight: 0.5 };

const VERTEX = `#version 300 es
precision highp float; precision highp int; precision highp isampler2D;
layout(location = 0) in vec3 rest; layout(location = 1) in vec3 normal;
layout(location = 2) in vec2 coordinate; layout(location = 3) in float follows;
uniform isampler2D shapes, normalShapes;
uniform int count, vertices, ids[64];
uniform float weights[64], normalWeights[64], focal;
uniform mat3 turn, still, orbit;
uniform vec3 shift, centre;
out vec3 facing; out vec2 place;
void main() {
  vec3 p = rest, n = normal;
  for (int i = 0; i < count; i++) {
    int at = ids[i] * vertices + gl_VertexID;
    ivec2 texel = ivec2(at % ${TEXELS}, at / ${TEXELS});
    p += weights[i] * vec3(texelFetch(shapes, texel, 0).xyz);
    n += normalWeights[i] * vec3(texelFetch(normalShapes, texel, 0).xyz);
  }
  p = mix(still * rest, turn * p, follows) + shift;
  facing = mix(still * normal, turn * n, follows);
  place = vec2(coordinate.x, 1.0 - coordinate.y);
  p = orbit * (p - centre) + centre;
  float depth = p.z + 10.0; // the camera is at z = -10 and y points down
  gl_Position = vec4(2.0 * focal * p.x, -2.0 * focal * p.y, 1.5 * depth - 12.5, depth);
}`;

const FRAGMENT = `#version 300 es
precision highp float;
in vec3 facing; in vec2 place;
uniform sampler2D skin; uniform vec3 light; uniform float ambient, diffuse, gape;
out vec4 colour;
void main() {
  float lit = ambient + diffuse * max(dot(normalize(facing), light), 0.0);
  if (all(lessThan(abs(place - vec2(${TEETH})), vec2(0.02)))) lit *= gape;
  colour = vec4(min(texture(skin, place).rgb * lit, 1.0), 1.0);
}`;

// Rz Ry Rx, columns first.
function rotation(x, y, z) {
  const [sx, sy, sz, cx, cy, cz] = [x, y, z].map(Math.sin).concat([x, y, z].map(Math.cos));
  return [
    cz * cy, sz * cy, -sy,
    cz * sy * sx - sz * cx, sz * sy * sx + cz * cx, cy * sx,
    cz * sy * cx + sz * sx, sz * sy * cx - cz * sx, cy * cx,
  ];
}

class Faces {
  static async open(canvas) {
    const gl = canvas.getContext("webgl2", { antialias: true, alpha: true });
    if (!gl) return null;
    return new Faces(canvas, gl, JSON.parse(byId("head-about").textContent), await inflated("head"));
  }

  constructor(canvas, gl, about, buffer) {
    Object.assign(this, { canvas, gl, about, orbit: [0, 0] });
    const kinds = { float32: Float32Array, int16: Int16Array, int8: Int8Array, uint32: Uint32Array, uint8: Uint8Array };
    const array = (name) => {
      const where = about.arrays[name];
      return new kinds[where.type](buffer, where.offset, where.length);
    };
    this.opens = Object.entries(OPENS).map(([name, share]) => [PAGE.channels.indexOf(name), share]);
    this.shapeStep = array("shape_step");
    this.normalStep = array("normal_step");
    const program = (this.program = this.#program());
    gl.useProgram(program);
    this.uniform = Object.fromEntries(
      ["count", "ids", "weights", "normalWeights", "turn", "orbit", "shift", "gape"].map((name) => [
        name, gl.getUniformLocation(program, name),
      ]),
    );
    const set = (name) => gl.getUniformLocation(program, name);
    gl.uniform1i(set("vertices"), about.vertices);
    gl.uniform1f(set("focal"), about.focal_length);
    gl.uniform1f(set("ambient"), about.ambient);
    gl.uniform1f(set("diffuse"), about.diffuse);
    gl.uniform3fv(set("light"), about.light);
    gl.uniform3fv(set("centre"), about.neutral.slice(3));
    gl.uniformMatrix3fv(set("still"), false, rotation(...about.neutral.slice(0, 3)));

    [["rest", 3], ["normals", 3], ["coordinates", 2], ["follows", 1]].forEach(([name, size], location) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ARRAY_BUFFER, array(name), gl.STATIC_DRAW);
      gl.enableVertexAttribArray(location);
      gl.vertexAttribPointer(location, size, gl.FLOAT, false, 0, 0);
    });
    const triangles = array("triangles");
    this.corners = triangles.length;
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, triangles, gl.STATIC_DRAW);

    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    this.#shapes(0, "shapes", array("shapes"), gl.RGB16I, gl.SHORT);
    this.#shapes(1, "normalShapes", array("normal_shapes"), gl.RGB8I, gl.BYTE);
    gl.activeTexture(gl.TEXTURE2);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    const [height, width] = about.texture;
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB8, width, height, 0, gl.RGB, gl.UNSIGNED_BYTE, array("texture"));
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    gl.uniform1i(set("skin"), 2);
    gl.enable(gl.DEPTH_TEST);
    gl.enable(gl.CULL_FACE);
    gl.frontFace(gl.CCW);
  }

  #program() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    return program;
  }

  // All shapes as one integer texture, three numbers a vertex.
  #shapes(unit, name, values, format, type) {
    const { gl } = this;
    const rows = Math.ceil(values.length / 3 / TEXELS);
    const filled = new values.constructor(3 * TEXELS * rows);
    filled.set(values);
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texImage2D(gl.TEXTURE_2D, 0, format, TEXELS, rows, 0, gl.RGB_INTEGER, type, filled);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    gl.uniform1i(gl.getUniformLocation(this.program, name), unit);
  }

  // The share of the light that teeth get; all of it where the head is none with these names.
  #gape(face) {
    if (this.opens.some(([channel]) => channel < 0)) return 1;
    const opening = this.opens.reduce((sum, [channel, share]) => sum + share * face[channel], 0);
    return SHADE + (1 - SHADE) * Math.min(1, opening / OPEN);
  }

  // `boxes` are {x, y, size} in CSS pixels of the canvas, `faces` as many arrays of coefficients.
  draw(boxes, faces) {
    const { gl, canvas, uniform, about } = this;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.round(side * ratio));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    gl.disable(gl.SCISSOR_TEST);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.SCISSOR_TEST);
    gl.uniformMatrix3fv(uniform.orbit, false, rotation(this.orbit[0], this.orbit[1], 0));
    const background = colour("cell").match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16) / 255);
    gl.clearColor(...background.slice(0, 3), 1);
    boxes.forEach((box, k) => {
      const side = Math.round(box.size * ratio);
      const place = [Math.round(box.x * ratio), height - Math.round(box.y * ratio) - side, side, side];
      gl.viewport(...place);
      gl.scissor(...place);
      gl.clear(gl.COLOR_BUFFER_BIT);
      const face = faces[k];
      const ids = [], weights = [], normals = [];
      for (let shape = 0; shape < about.shapes; shape++) {
        if (Math.abs(face[shape]) < 0.002) continue;
        ids.push(shape);
        weights.push(face[shape] * this.shapeStep[shape]);
        normals.push(face[shape] * this.normalStep[shape]);
      }
      gl.uniform1f(uniform.gape, this.#gape(face));
      gl.uniform1i(uniform.count, ids.length);
      if (ids.length) {
        gl.uniform1iv(uniform.ids, ids);
        gl.uniform1fv(uniform.weights, weights);
        gl.uniform1fv(uniform.normalWeights, normals);
      }
      const pose = face.subarray(about.shapes);
      gl.uniformMatrix3fv(uniform.turn, false, rotation(pose[0], pose[1], pose[2]));
      gl.uniform3f(uniform.shift, ...about.shift.map((shift, axis) => shift + pose[3 + axis]));
      gl.drawElements(gl.TRIANGLES, this.corners, gl.UNSIGNED_INT, 0);
    });
  }
}
