// Shows one mesh on a canvas with WebGL2: turn, zoom, four ways to colour it.

import { FRAGMENT, VERTEX } from "./shaders.js";

const MODES = ["textured", "clay", "wireframe", "confidence"];
const FIELD = (28 * Math.PI) / 180;
const STEP = Math.PI / 24;
const LOCATIONS = { positions: [0, 3], normals: [1, 3], uv: [2, 2], confidence: [3, 1], colours: [4, 4] };
const THEMES = {
  light: { clay: [0.83, 0.73, 0.65], paper: [0.925, 0.91, 0.882], ink: [0.34, 0.15, 0.05] },
  dark: { clay: [0.74, 0.64, 0.56], paper: [0.098, 0.09, 0.082], ink: [0.98, 0.72, 0.53] },
};

export class Viewer {
  /** Throws an Error if the browser has no WebGL2. */
  constructor(canvas) {
    this.canvas = canvas;
    this.mode = "textured";
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.mesh = null;
    this.reset(false);
    this.prepare();
    new ResizeObserver(() => this.draw()).observe(canvas);
    this.dark.addEventListener("change", () => this.draw());
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => {
      this.prepare();
      if (this.mesh) this.show(this.mesh, true);
    });
    this.listen();
  }

  prepare() {
    const gl = this.canvas.getContext("webgl2", { antialias: true, premultipliedAlpha: false });
    if (!gl) throw new Error("no WebGL2");
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error("the shaders failed");
    gl.useProgram(program);
    gl.enable(gl.DEPTH_TEST);
    this.gl = gl;
    this.uniform = (name) => gl.getUniformLocation(program, name);
    this.buffers = [];
    this.texture = null;
  }

  /** Shows a mesh of readGlb; with keep the camera stays as it is. */
  async show(mesh, keep) {
    this.mesh = mesh;
    const picture = mesh.texture ? await createImageBitmap(mesh.texture) : null;
    // Another mesh may have been chosen while the picture was decoded.
    if (this.mesh !== mesh) return;
    const { gl } = this;
    this.buffers.forEach((buffer) => gl.deleteBuffer(buffer));
    gl.deleteTexture(this.texture);
    this.buffers = [];
    for (const [name, [location, width]] of Object.entries(LOCATIONS)) {
      const values = mesh[name];
      if (!values) {
        gl.disableVertexAttribArray(location);
        gl.vertexAttrib4f(location, 1, 1, 1, 1);
        continue;
      }
      this.fill(gl.ARRAY_BUFFER, values);
      const kind = { Uint16Array: gl.UNSIGNED_SHORT, Uint8Array: gl.UNSIGNED_BYTE };
      gl.enableVertexAttribArray(location);
      gl.vertexAttribPointer(location, width, kind[values.constructor.name] ?? gl.FLOAT, true, 0, 0);
    }
    this.lines = this.fill(gl.ELEMENT_ARRAY_BUFFER, edges(mesh.triangles));
    this.faces = this.fill(gl.ELEMENT_ARRAY_BUFFER, mesh.triangles);
    this.count = mesh.triangles.length;
    this.texture = picture && this.upload(picture);
    const { low, high } = bounds(mesh.positions);
    this.centre = low.map((value, axis) => (value + high[axis]) / 2);
    this.radius = Math.hypot(...high.map((value, axis) => value - low[axis])) / 2;
    if (keep) this.draw();
    else this.reset(true);
  }

  clear() {
    this.mesh = null;
    this.draw();
  }

  fill(target, values) {
    const buffer = this.gl.createBuffer();
    this.gl.bindBuffer(target, buffer);
    this.gl.bufferData(target, values, this.gl.STATIC_DRAW);
    this.buffers.push(buffer);
    return buffer;
  }

  upload(picture) {
    const { gl } = this;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, picture);
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    return texture;
  }

  setMode(mode) {
    this.mode = mode;
    this.draw();
  }

  /** Looks at the face from the front; with animate it turns there, to show that it is solid. */
  reset(animate) {
    this.yaw = this.pitch = 0;
    this.zoom = 1;
    this.swing = animate && !this.still.matches ? performance.now() : 0;
    this.draw();
  }

  turn(yaw, pitch) {
    this.swing = 0;
    this.yaw += yaw;
    this.pitch = Math.min(Math.max(this.pitch + pitch, -1.45), 1.45);
    this.draw();
  }

  zoomBy(factor) {
    this.zoom = Math.min(Math.max(this.zoom * factor, 0.4), 8);
    this.draw();
  }

  /** Draws before the next frame. */
  draw() {
    this.frame ??= requestAnimationFrame((now) => {
      this.frame = undefined;
      this.render(now);
    });
  }

  render(now) {
    const { gl, canvas } = this;
    if (!gl || gl.isContextLost()) return;
    const ratio = Math.min(devicePixelRatio, 2);
    const width = Math.round(canvas.clientWidth * ratio);
    const height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    if (!this.mesh || !this.count || !width || !height) return;

    let swing = 0;
    if (this.swing) {
      const t = (now - this.swing) / 1600;
      if (t < 1) {
        swing = -0.7 * Math.sin(Math.PI * t * 2) * (1 - t);
        this.draw();
      } else this.swing = 0;
    }
    const aspect = width / height;
    const far = this.radius / Math.sin(FIELD / 2) / Math.min(aspect, 1);
    const view = lookAt(this.centre, this.yaw + swing, this.pitch, (0.86 * far) / this.zoom);
    gl.uniformMatrix4fv(this.uniform("uView"), false, view);
    gl.uniformMatrix4fv(this.uniform("uCamera"), false, perspective(aspect, far));
    const theme = THEMES[this.dark.matches ? "dark" : "light"];
    gl.uniform3fv(this.uniform("uClay"), theme.clay);
    gl.uniform3fv(this.uniform("uPaper"), theme.paper);
    gl.uniform3fv(this.uniform("uInk"), theme.ink);
    gl.uniform1i(this.uniform("uMode"), MODES.indexOf(this.mode));
    gl.uniform1i(this.uniform("uTextured"), this.texture ? 1 : 0);
    gl.uniform1i(this.uniform("uLine"), 0);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.faces);
    gl.drawElements(gl.TRIANGLES, this.count, gl.UNSIGNED_INT, 0);
    if (this.mode !== "wireframe") return;
    gl.uniform1i(this.uniform("uLine"), 1);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.lines);
    gl.drawElements(gl.LINES, this.count * 2, gl.UNSIGNED_INT, 0);
  }

  listen() {
    const { canvas } = this;
    const pointers = new Map();
    const spread = () => {
      const [a, b] = [...pointers.values()];
      return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, event);
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      if (pointers.size === 1) {
        const scale = Math.PI / canvas.clientHeight;
        this.turn((event.clientX - before.clientX) * scale, (event.clientY - before.clientY) * scale);
        pointers.set(event.pointerId, event);
      } else if (pointers.size === 2) {
        const was = spread();
        pointers.set(event.pointerId, event);
        this.zoomBy(spread() / Math.max(was, 1));
      }
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => pointers.delete(event.pointerId));
    }
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY / 600));
    }, { passive: false });
    const keys = {
      ArrowLeft: () => this.turn(-STEP, 0),
      ArrowRight: () => this.turn(STEP, 0),
      ArrowUp: () => this.turn(0, -STEP),
      ArrowDown: () => this.turn(0, STEP),
      "+": () => this.zoomBy(1.2),
      "=": () => this.zoomBy(1.2),
      "-": () => this.zoomBy(1 / 1.2),
      0: () => this.reset(false),
    };
    canvas.addEventListener("keydown", (event) => {
      if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      keys[event.key]();
    });
  }
}

function edges(triangles) {
  const lines = new Uint32Array(triangles.length * 2);
  for (let i = 0, j = 0; i < triangles.length; i += 3) {
    const [a, b, c] = [triangles[i], triangles[i + 1], triangles[i + 2]];
    lines[j++] = a; lines[j++] = b; lines[j++] = b;
    lines[j++] = c; lines[j++] = c; lines[j++] = a;
  }
  return lines;
}

function bounds(positions) {
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  for (let i = 0; i < positions.length; i++) {
    const axis = i % 3;
    if (positions[i] < low[axis]) low[axis] = positions[i];
    if (positions[i] > high[axis]) high[axis] = positions[i];
  }
  return { low, high };
}

function perspective(aspect, far) {
  const f = 1 / Math.tan(FIELD / 2), near = far / 50, end = far * 10;
  return [f / aspect, 0, 0, 0, 0, f, 0, 0, 0, 0, (end + near) / (near - end), -1,
    0, 0, (2 * end * near) / (near - end), 0];
}

function lookAt([x, y, z], yaw, pitch, distance) {
  const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  // Rows of the rotation: first about the vertical axis, then about the horizontal one.
  const r = [cy, 0, sy, sp * sy, cp, -sp * cy, -cp * sy, sp, cp * cy];
  const t = [0, 3, 6].map((i) => -(r[i] * x + r[i + 1] * y + r[i + 2] * z));
  return [r[0], r[3], r[6], 0, r[1], r[4], r[7], 0, r[2], r[5], r[8], 0, t[0], t[1], t[2] - distance, 1];
}
