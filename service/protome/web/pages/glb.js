// Reads a plain GLB with one primitive, as the server writes it: binary glTF 2.0 without compression.

const TYPES = { 5126: Float32Array, 5125: Uint32Array, 5123: Uint16Array, 5121: Uint8Array };
const WIDTHS = { SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4 };

/** Returns positions, normals, triangles and, where the file has them, uv, colours, confidence
 * and the texture as a Blob. Throws an Error if the file is not such a GLB. */
export function readGlb(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== 0x46546c67) throw new Error("not a GLB file");
  const size = view.getUint32(12, true);
  const json = JSON.parse(new TextDecoder().decode(bytes.subarray(20, 20 + size)));
  const blob = bytes.subarray(28 + size);

  const part = (index) => {
    const { byteOffset = 0, byteLength } = json.bufferViews[index];
    return blob.subarray(byteOffset, byteOffset + byteLength);
  };
  const array = (index) => {
    if (index === undefined) return null;
    const { bufferView, byteOffset = 0, componentType, count, type } = json.accessors[index];
    const Type = TYPES[componentType];
    const from = blob.byteOffset + (json.bufferViews[bufferView].byteOffset ?? 0) + byteOffset;
    const length = count * WIDTHS[type];
    // A copy: the offset in the file need not be a multiple of the size of a number.
    return new Type(blob.buffer.slice(from, from + length * Type.BYTES_PER_ELEMENT));
  };

  const primitive = json.meshes[0].primitives[0];
  const attributes = primitive.attributes;
  const image = json.images?.[0];
  return {
    positions: array(attributes.POSITION),
    normals: array(attributes.NORMAL),
    triangles: array(primitive.indices),
    uv: array(attributes.TEXCOORD_0),
    colours: array(attributes.COLOR_0),
    confidence: array(attributes._CONFIDENCE),
    texture: image ? new Blob([part(image.bufferView)], { type: image.mimeType }) : null,
  };
}
