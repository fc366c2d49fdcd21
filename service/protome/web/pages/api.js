// Calls the server: one photo out, its events back; errors in plain words.

const PATH = "v1/reconstruct";

const WORDS = {
  NO_FACE_FOUND: "No face was found in this photo. Try one in which the face is larger and well lit.",
  UNSUPPORTED_FORMAT: "This file is not a picture that can be read. Use a JPEG, PNG or WebP file.",
  BROKEN_IMAGE: "This picture is damaged and cannot be read.",
  OVERLOADED: "The server is busy.",
  DRAINING: "The server is about to restart.",
  WORKER_DIED: "Something went wrong on the server.",
  QUOTA_EXCEEDED: "This token has sent too many photos for now.",
  UNAUTHENTICATED: "The server needs a token that it knows.",
};

/** A request that failed. message is for people; retryAfter: seconds, or undefined for never. */
export class Failure extends Error {
  constructor(problem) {
    super(words(problem));
    this.reason = problem.reason;
    this.retryAfter = problem.retry_after;
  }
}

function words({ reason, detail, metadata }) {
  if (metadata?.found) return `The file is ${metadata.found}. Use a JPEG, PNG or WebP file.`;
  if (reason === "IMAGE_TOO_LARGE") return tooLarge(metadata);
  return WORDS[reason] ?? `The server could not make a mesh of this photo: ${detail}`;
}

export function tooLarge({ max_image_bytes, max_image_pixels, max_unscaled_pixels } = {}) {
  const pixels = max_image_pixels ?? max_unscaled_pixels;
  if (max_image_bytes) return `This photo is too large: the limit is ${megabytes(max_image_bytes)}.`;
  return `This photo is too large${pixels ? `: the limit is ${Math.floor(pixels / 1e6)} megapixels` : ""}.`;
}

export function megabytes(bytes) {
  return `${Math.round(bytes / 1048576)} MB`;
}

function headers(token, more) {
  return { ...more, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
}

/** Returns version, network and limits of the server. */
export async function serverInfo(token, signal) {
  const response = await fetch("v1/info", { headers: headers(token), signal });
  if (!response.ok) throw new Failure(await response.json());
  return response.json();
}

/** Sends a photo and calls on.header, on.mesh and on.summary with the events of the contract.
 * Throws a Failure for an answer of the server, another Error if it cannot be reached. */
export async function reconstruct(photo, options, token, signal, on) {
  const query = new URLSearchParams(options);
  const response = await fetch(`${PATH}?${query}`, {
    method: "POST",
    body: photo,
    headers: headers(token, { Accept: "text/event-stream", "Content-Type": "application/octet-stream" }),
    signal,
  });
  if (!response.ok) {
    const json = response.headers.get("content-type")?.includes("json");
    throw json ? new Failure(await response.json()) : new Error(`status ${response.status}`);
  }
  const parts = new Map();
  let complete = false;
  for await (const [name, data] of events(response.body)) {
    if (name === "header") on.header?.(data);
    else if (name === "chunk") {
      const key = `${data.face_index} ${data.detail}`;
      parts.set(key, [...(parts.get(key) ?? []), fromBase64(data.data)]);
      if (data.last) on.mesh(data.face_index, data.detail, joined(parts.get(key)));
      if (data.last) parts.delete(key);
    } else if (name === "summary") {
      on.summary?.(data);
      complete = true;
    } else if (name === "error") throw new Failure(data);
  }
  if (!complete) throw new Error("the connection was lost");
}

/** Yields name and data of each server-sent event. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let pieces = [];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    let rest = value;
    // The end of an event may be cut in two by the network.
    if (rest.startsWith("\n") && pieces.at(-1)?.endsWith("\n")) rest = pieces.pop() + rest;
    for (let end; (end = rest.indexOf("\n\n")) >= 0; rest = rest.slice(end + 2)) {
      const [first, second] = (pieces.join("") + rest.slice(0, end)).split("\n");
      pieces = [];
      yield [first.slice("event: ".length), JSON.parse(second.slice("data: ".length))];
    }
    if (rest) pieces.push(rest);
  }
}

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

function joined(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
