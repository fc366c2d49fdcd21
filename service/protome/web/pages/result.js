// Shows what is known of the faces of a photo: boxes, mesh, facts, times.

import { readGlb } from "./glb.js";
import { Viewer } from "./viewer.js";

const element = (id) => document.getElementById(id);

const OUTCOMES = {
  FACE_OUTCOME_OVER_MAX_FACES: "left out: too many faces",
  FACE_OUTCOME_TOO_SMALL: "too small",
  FACE_OUTCOME_NO_SURFACE: "no mesh: no head was found here",
  FACE_OUTCOME_FAILED: "no mesh: the server failed; try again",
};
const CONCERNS = {
  CONCERN_FEW_PIXELS: "The face is small in the photo, so details are missing.",
  CONCERN_EXTREME_POSE: "The head is turned far away, so much of the mesh is a guess.",
  CONCERN_CUT_BY_BORDER: "The border of the photo cuts the face.",
  CONCERN_BLURRED: "The face is blurred.",
  CONCERN_LOW_CONFIDENCE: "The mesh may not fit the face.",
  CONCERN_COVERED: "Something covers part of the face, so that part of the mesh is a guess.",
};
const STAGES = [
  ["Decode the photo", (photo) => photo.decode_seconds],
  ["Find faces", (photo) => photo.detect_seconds],
  ["Cut out", (photo) => photo.crop_seconds],
  ["Wait for the network", (photo, face) => face.queue_seconds],
  ["Network", (photo, face) => face.inference_seconds],
  ["Surface", (photo, face) => sum(face.meshes, "surface_seconds")],
  ["Colour", (photo, face) => sum(face.meshes, "appearance_seconds")],
  ["Write the file", (photo, face) => sum(face.meshes, "encode_seconds")],
];

const sum = (meshes, name) => meshes.reduce((total, mesh) => total + mesh[name], 0);

export class Result {
  constructor() {
    try {
      this.viewer = new Viewer(element("canvas"));
    } catch {
      this.viewer = null;
    }
    this.clear();
    for (const radio of document.getElementsByName("mode")) {
      radio.addEventListener("change", () => this.setMode(radio.value));
    }
  }

  clear() {
    this.faces = [];
    this.times = null;
    this.chosen = 0;
    this.viewer?.clear();
    element("boxes").replaceChildren();
    element("result").hidden = element("times").hidden = true;
    this.label();
  }

  setMode(mode) {
    element("legend").hidden = mode !== "confidence";
    this.viewer?.setMode(mode);
  }

  /** Takes the header: draws a box for each face. */
  header({ photo_width, photo_height, faces }) {
    this.faces = faces.map((face) => ({ ...face, meshes: {} }));
    this.chosen = Math.max(faces.findIndex((face) => face.outcome === "FACE_OUTCOME_RECONSTRUCTED"), 0);
    const boxes = faces.map(({ box, outcome }, index) => {
      const button = document.createElement("button");
      const name = document.createElement("span");
      const problem = OUTCOMES[outcome];
      name.textContent = problem ?? (faces.length > 1 ? `${index + 1}` : "face");
      button.append(name);
      button.type = "button";
      button.disabled = Boolean(problem);
      button.setAttribute("aria-label", `Face ${index + 1}${problem ? `, ${problem}` : ""}`);
      button.style.left = `${(100 * box.x) / photo_width}%`;
      button.style.top = `${(100 * box.y) / photo_height}%`;
      button.style.width = `${(100 * box.width) / photo_width}%`;
      button.style.height = `${(100 * box.height) / photo_height}%`;
      button.addEventListener("click", () => this.choose(index));
      return button;
    });
    element("boxes").replaceChildren(...boxes);
    this.press();
    this.label();
  }

  /** Takes a mesh file of a face; the full one replaces the preview. */
  mesh(index, detail, bytes) {
    const face = this.faces[index];
    const preview = detail === "DETAIL_LEVEL_PREVIEW";
    if (preview && face.glb) return;
    const before = face.glb;
    Object.assign(face, { glb: bytes, preview, model: readGlb(bytes) });
    if (index === this.chosen) this.display(Boolean(before));
  }

  /** Takes the summary: facts and times. */
  summary({ faces, times }, seconds) {
    this.times = { ...times, seconds };
    for (const summary of faces) {
      this.faces[summary.face_index].summary = summary;
      const problem = OUTCOMES[summary.outcome];
      const box = element("boxes").children[summary.face_index];
      if (problem) box.firstChild.textContent = problem;
    }
    this.describe();
  }

  choose(index) {
    if (index === this.chosen) return;
    this.chosen = index;
    this.press();
    this.display(false);
    this.describe();
  }

  press() {
    [...element("boxes").children].forEach((box, index) => {
      box.setAttribute("aria-pressed", String(index === this.chosen));
    });
  }

  display(keep) {
    const face = this.faces[this.chosen];
    if (face?.model) this.viewer?.show(face.model, keep);
    else this.viewer?.clear();
    this.label();
  }

  /** Says what the canvas shows. */
  label() {
    const face = this.faces[this.chosen];
    const shown = face?.glb && this.viewer;
    const words = shown
      ? `${face.preview ? "Preview" : "Mesh"} of face ${this.chosen + 1}`
      : "No mesh yet";
    element("canvas").setAttribute("aria-label", words);
    const missing = this.viewer ? "" : "This browser shows no WebGL2; the files can be downloaded.";
    element("placeholder").textContent = shown ? "" : missing || (face ? "The mesh is being made" : "");
  }

  describe() {
    const face = this.faces[this.chosen];
    const summary = face?.summary;
    if (!summary) return;
    const many = this.faces.length > 1;
    element("result").hidden = element("times").hidden = false;
    element("result-title").textContent = many ? `Face ${this.chosen + 1}` : "Face";
    element("trust").textContent = OUTCOMES[summary.outcome] ?? trust(summary.confidence);
    element("concerns").replaceChildren(...summary.concerns.map((concern) => item(CONCERNS[concern] ?? concern)));
    const mesh = summary.meshes.at(-1);
    element("downloads").hidden = !mesh;
    element("facts").textContent = mesh
      ? `${mesh.vertices.toLocaleString()} vertices, ${mesh.triangles.toLocaleString()} triangles. The size is that of a mean head.`
      : "";
    this.showTimes(summary);
  }

  showTimes(summary) {
    const rows = STAGES.map(([name, of]) => [name, of(this.times, summary)]);
    const most = Math.max(...rows.map(([, seconds]) => seconds));
    rows.push(["In all, with the transfer", this.times.seconds]);
    element("times").querySelector("tbody").replaceChildren(
      ...rows.map(([name, seconds], index) => row(name, seconds, index < STAGES.length ? seconds / most : null)),
    );
  }

  /** Returns the chosen face: its number and its GLB, once it is complete. */
  get current() {
    const face = this.faces[this.chosen];
    return { index: this.chosen, glb: face?.glb };
  }
}

function trust(confidence) {
  if (confidence === undefined) return "";
  const percent = Math.round(100 * confidence);
  return `The mesh fits this face with a probability of ${percent}%.`;
}

function item(text) {
  const entry = document.createElement("li");
  entry.textContent = text;
  return entry;
}

function row(name, seconds, share) {
  const line = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = name;
  const bar = line.insertCell();
  if (share !== null) {
    const length = document.createElement("i");
    length.style.width = `${100 * share}%`;
    bar.append(length);
  }
  line.insertCell().textContent = `${(1000 * seconds).toFixed(0)} ms`;
  line.prepend(head);
  return line;
}
