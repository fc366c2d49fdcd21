// The shaders of the viewer. Modes: 0 textured, 1 clay, 2 wireframe, 3 confidence.

export const VERTEX = `#version 300 es
uniform mat4 uCamera;
uniform mat4 uView;
uniform bool uLine;
layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;
layout(location = 2) in vec2 uv;
layout(location = 3) in float confidence;
layout(location = 4) in vec4 colour;
out vec3 vNormal;
out vec3 vEye;
out vec2 vUv;
out float vConfidence;
out vec3 vColour;
void main() {
  vNormal = mat3(uView) * normal;
  vec4 seen = uView * vec4(position, 1.0);
  vEye = seen.xyz;
  vUv = uv;
  vConfidence = confidence;
  vColour = colour.rgb;
  gl_Position = uCamera * seen;
  // Lines lie just before the triangles that they bound.
  if (uLine) gl_Position.z -= 2e-4 * gl_Position.w;
}`;

export const FRAGMENT = `#version 300 es
precision highp float;
uniform int uMode;
uniform bool uTextured;
uniform bool uLine;
uniform vec3 uClay;
uniform vec3 uPaper;
uniform vec3 uInk;
uniform sampler2D uTexture;
in vec3 vNormal;
in vec3 vEye;
in vec2 vUv;
in float vConfidence;
in vec3 vColour;
out vec4 fragment;

// Viridis at five places, which readers with any colour vision can order.
vec3 viridis(float t) {
  vec3 at[5] = vec3[](
    vec3(0.267, 0.005, 0.329), vec3(0.231, 0.322, 0.545), vec3(0.129, 0.569, 0.549),
    vec3(0.369, 0.788, 0.384), vec3(0.992, 0.906, 0.145));
  float x = clamp(t, 0.0, 1.0) * 4.0;
  int i = min(int(x), 3);
  return mix(at[i], at[i + 1], x - float(i));
}

void main() {
  vec3 n = normalize(vNormal);
  if (!gl_FrontFacing) n = -n;
  vec3 eye = normalize(-vEye);
  float key = max(dot(n, normalize(vec3(-0.45, 0.6, 0.75))), 0.0);
  float fill = max(dot(n, normalize(vec3(0.8, 0.1, 0.45))), 0.0);
  float sky = 0.5 + 0.5 * n.y;
  float rim = pow(1.0 - max(dot(n, eye), 0.0), 3.0);
  vec3 colour;
  if (uMode == 0) {
    // The photo has its own light: only a little of ours, so that the form shows in the turn.
    vec3 base = uTextured ? texture(uTexture, vUv).rgb : pow(vColour, vec3(1.0 / 2.2));
    colour = base * (0.74 + 0.28 * key + 0.1 * fill);
  } else if (uMode == 1) {
    vec3 half_ = normalize(normalize(vec3(-0.45, 0.6, 0.75)) + eye);
    float shine = pow(max(dot(n, half_), 0.0), 24.0);
    colour = uClay * (0.2 + 0.24 * sky + 0.62 * key + 0.2 * fill) + 0.07 * shine + 0.1 * rim;
  } else if (uMode == 2) {
    float toward = max(dot(n, eye), 0.0);
    colour = uLine ? mix(uPaper, uInk, 0.35 + 0.65 * toward) : uPaper;
  } else {
    colour = viridis(vConfidence) * (0.62 + 0.4 * key + 0.12 * fill);
  }
  fragment = vec4(colour, 1.0);
}`;
