// The page: takes a photo, sends it, shows what comes back, tries again while the server is busy.

import { Failure, megabytes, reconstruct, serverInfo, tooLarge } from "./api.js";
import { setUpBooth } from "./booth.js";
import { Result } from "./result.js";

const element = (id) => document.getElementById(id);
const OPTIONS = { appearance: "texture", preview_first: "true", vertex_quality: "true" };
// A server that cannot be reached is tried again after this many seconds.
const UNREACHABLE_SECONDS = 2;
const TYPES = {
  glb: "model/gltf-binary", ply: "application/ply", obj: "model/obj", stl: "model/stl",
  obj_zip: "application/zip",
};

const result = new Result();
let limits = null;
let job = null;
let token = sessionStorage.getItem("token") ?? "";

function say(words, state) {
  element("status").textContent = words;
  element("state").hidden = !words;
  if (state) document.body.dataset.state = state;
}

/** Shows a photo and makes its meshes; what was in progress ends. */
async function start(file) {
  job?.abort.abort();
  const mine = (job = { file, abort: new AbortController() });
  const image = element("photo");
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(file);
  result.clear();
  element("access").hidden = true;
  element("work").hidden = element("stage").hidden = image.hidden = false;
  if (limits && file.size > limits.max_image_bytes) {
    fail(new Error(tooLarge(limits)));
    return;
  }
  try {
    await again(mine.abort.signal, () => send(mine));
  } catch (error) {
    if (!mine.abort.signal.aborted) fail(error);
  }
}

async function send({ file, abort }) {
  const began = performance.now();
  say("Looking for faces", "working");
  await reconstruct(file, OPTIONS, token, abort.signal, {
    header(header) {
      const count = header.faces.length;
      say(count === 1 ? "One face found; making its mesh" : `${count} faces found; making their meshes`);
      result.header(header);
    },
    mesh(index, detail, bytes) {
      if (detail === "DETAIL_LEVEL_PREVIEW") say("A preview is here; the full mesh follows");
      result.mesh(index, detail, bytes);
    },
    summary(summary) {
      const seconds = (performance.now() - began) / 1000;
      result.summary(summary, seconds);
      const made = summary.faces.filter((face) => face.meshes.length).length;
      const words = made === 1 ? "The mesh is ready" : `${made} meshes are ready; choose a face in the photo`;
      say(made ? words : "No mesh could be made of this photo.", made ? "done" : "failed");
    },
  });
}

/** Runs an action; while the server is busy or cannot be reached, waits and runs it again. */
async function again(signal, action) {
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (signal.aborted) throw error;
      if (error instanceof Failure && error.retryAfter === undefined) throw error;
      await wait(error, signal);
    }
  }
}

async function wait(error, signal) {
  if (error instanceof Failure) {
    for (let left = Math.max(1, Math.ceil(error.retryAfter)); left > 0; left--) {
      say(`${error.message} Trying again in ${left} s.`, "waiting");
      await pause(1, signal);
    }
    return;
  }
  say("The server cannot be reached. Trying again until it is back.", "waiting");
  for (;;) {
    await pause(UNREACHABLE_SECONDS, signal);
    try {
      await serverInfo(token, signal);
      return;
    } catch (problem) {
      if (signal.aborted || problem instanceof Failure) return;
    }
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

function fail(error) {
  say(error.message, "failed");
  element("stage").hidden = !result.current.glb;
  if (error.reason === "UNAUTHENTICATED") {
    element("access").hidden = false;
    element("token").focus();
  }
}

async function download(button) {
  const { format } = button.dataset;
  const { index, glb } = result.current;
  const { file, abort } = job;
  if (format === "glb") return save(glb, format, index, file);
  if (button.ariaBusy === "true") return;
  button.ariaBusy = "true";
  try {
    // Faces come largest first, so this one is found again with all that are larger.
    const options = { appearance: "texture", formats: format, max_faces: index + 1 };
    let mesh = null;
    await again(abort.signal, () => {
      say(`Making the file: ${button.textContent}`, "working");
      return reconstruct(file, options, token, abort.signal, {
        mesh(face, detail, bytes) {
          if (face === index) mesh = bytes;
        },
      });
    });
    if (!mesh) throw new Error("This face has no mesh in that format.");
    save(mesh, format, index, file);
    say(`The file is ready: ${button.textContent}`, "done");
  } catch (error) {
    if (!abort.signal.aborted) fail(error);
  } finally {
    button.ariaBusy = null;
  }
}

function save(bytes, format, index, file) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], { type: TYPES[format] }));
  const stem = file.name.replace(/\.[^.]*$/, "") || "face";
  link.download = `${stem}_${index + 1}.${format.split("_").at(-1)}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

async function useSample() {
  const response = await fetch("sample.jpg").catch(() => null);
  if (!response?.ok) return say("The sample cannot be loaded: the server cannot be reached.", "failed");
  start(new File([await response.blob()], "sample.jpg"));
}

/** The first file of a drop or of the clipboard. */
function fileOf(transfer) {
  return transfer && [...transfer.files][0];
}

async function learnLimits() {
  try {
    limits = (await serverInfo(token)).limits;
    limits.max_image_bytes = Number(limits.max_image_bytes);
    element("limits").textContent = `JPEG, PNG or WebP, up to ${megabytes(limits.max_image_bytes)}.`;
  } catch {
    // The server checks the limits too, and a photo finds out whether it can be reached.
  }
}

// The server may read what this browser cannot show, and the other way round.
element("photo").addEventListener("error", () => (element("photo").hidden = true));
const input = element("file");
element("choose").addEventListener("click", () => input.click());
input.addEventListener("change", () => {
  if (input.files[0]) start(input.files[0]);
  input.value = "";
});
element("sample").addEventListener("click", useSample);
element("cancel").addEventListener("click", () => {
  job?.abort.abort();
  say("Cancelled", "failed");
});
element("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = element("token").value.trim();
  sessionStorage.setItem("token", token);
  learnLimits();
  if (job) start(job.file);
});
for (const button of element("downloads").children) {
  button.addEventListener("click", () => download(button));
}
document.addEventListener("paste", (event) => {
  const file = fileOf(event.clipboardData);
  if (file) start(file);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  const file = fileOf(event.dataTransfer);
  if (file) start(file);
});
setUpBooth(start);
learnLimits();
