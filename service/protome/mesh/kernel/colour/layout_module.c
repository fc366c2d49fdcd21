/* Wrap layout.c for Python (limited API): check, then work without the lock. */

#include "../arguments.h"
#include "texture.h"
#include "texture_module.h"

const char py_lay_out_doc[] =
    "lay_out(corners, source, weights, triangles, strip, share, /)\n--\n\n"
    "Lay a surface out in the head's atlas, without the interpreter's lock.\n\n"
    "Args:\n"
    "    corners: (t, 3, 2) float32 of each triangle of the head in the layout: its first corner,\n"
    "        and the edges to the others.\n"
    "    source: (n,) int32, the head's triangle that each vertex lies on; below 0 on hair.\n"
    "    weights: (n, 2) float32, of that triangle's second and third corner.\n"
    "    triangles: (m, 3) uint32.\n"
    "    strip: width of the strip around the head's island, a share of the atlas' side.\n"
    "    share: height of the island if there is hair.\n\n"
    "Returns:\n"
    "    bytearrays of places, float32 (k, 2), of their vertices, uint32 (k,), and of triangles,\n"
    "    uint32 (m, 3); the number of the first place in the hair, from which on places are\n"
    "    those on the head; and whether there is hair.\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape, a vertex or triangle that does not exist, or values out of range.\n";

static PyObject *laid_out(const tx_surface *surface) {
    tx_layout layout;
    int done;
    Py_BEGIN_ALLOW_THREADS
    done = tx_lay_out(surface, &layout);
    Py_END_ALLOW_THREADS
    PyObject *places = NULL, *source = NULL, *triangles = NULL, *result = NULL;
    if (done) {
        places = new_bytes(2 * layout.count * sizeof(float));
        source = new_bytes(layout.count * sizeof(uint32_t));
        triangles = new_bytes(3 * surface->triangle_count * sizeof(uint32_t));
    } else PyErr_NoMemory();
    if (places && source && triangles) {
        float *at = (void *)PyByteArray_AsString(places);
        uint32_t *from = (void *)PyByteArray_AsString(source);
        uint32_t *corners = (void *)PyByteArray_AsString(triangles);
        Py_BEGIN_ALLOW_THREADS
        tx_write_layout(surface, &layout, at, from, corners);
        Py_END_ALLOW_THREADS
        result = Py_BuildValue("OOOni", places, source, triangles, (Py_ssize_t)layout.in_hair,
                               layout.hairy);
    }
    Py_XDECREF(places);
    Py_XDECREF(source);
    Py_XDECREF(triangles);
    tx_free_layout(&layout);
    return result;
}

PyObject *py_lay_out(PyObject *module, PyObject *args) {
    PyObject *objects[4];
    float strip, share;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOOff:lay_out", &objects[0], &objects[1], &objects[2],
                          &objects[3], &strip, &share))
        return NULL;
    tx_argument a[4] = {{"corners", "f", {3, 2}, 0, {0}},
                        {"source", "i", {0, 0}, 0, {0}},
                        {"weights", "f", {2, 0}, 0, {0}},
                        {"triangles", "I", {3, 0}, 0, {0}}};
    if (!get_arguments(objects, a, 4)) return NULL;
    const Py_ssize_t count = a[1].view.shape[0], known = a[0].view.shape[0];
    if (a[2].view.shape[0] != count)
        return refuse(a, 4, "source and weights must be of the same vertices");
    /* NaN is not. */
    if (!(strip >= 0 && strip <= 1 && share >= 0 && share <= 1))
        return refuse(a, 4, "strip and share must be 0 to 1");
    const int32_t *source = a[1].view.buf;
    int fits = known > 0 && known <= INT32_MAX && count < INT32_MAX / 3;
    for (Py_ssize_t k = 0; k < count; k++) fits &= source[k] < (int32_t)known;
    if (!fits || !are_below(&a[3], count) || !are_within(&a[0], MOST_SHARE) ||
        !are_within(&a[2], MOST_SHARE))
        return refuse(a, 4, "vertices out of range");
    const tx_surface surface = {a[0].view.buf, source, a[2].view.buf, a[3].view.buf,
                                (size_t)count, (size_t)a[3].view.shape[0], strip, share};
    PyObject *result = laid_out(&surface);
    release_arguments(a, 4);
    return result;
}

const char py_disk_doc[] =
    "disk(vertices, which, frame, reach, growth, across, down, centre, /)\n--\n\n"
    "Places in the hair's disk, without the interpreter's lock.\n\n"
    "Args:\n"
    "    vertices: (n, 3) float32.\n"
    "    which: (k,) uint32, the vertices.\n"
    "    frame: (4, 3) float32, the skull's middle and its axes: the second leads to the disk's\n"
    "        middle.\n"
    "    reach: angle between it and the disk's rim, radians, above 0.\n"
    "    growth: a radian takes 1 + growth times as much of the radius in the middle as on\n"
    "        average, 0 or more.\n"
    "    across: the disk's radius, a share of the atlas' side.\n"
    "    down: likewise, of the atlas' height.\n"
    "    centre: lower place of its middle; the other is 0.5.\n\n"
    "Returns:\n"
    "    bytearray of float32 (k, 2).\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape, a vertex that does not exist, or values out of range.\n";

PyObject *py_disk(PyObject *module, PyObject *args) {
    PyObject *objects[3];
    tx_frame frame;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOfffff:disk", &objects[0], &objects[1], &objects[2],
                          &frame.reach, &frame.growth, &frame.radii[0], &frame.radii[1], &frame.centre))
        return NULL;
    tx_argument a[3] = {{"vertices", "f", {3, 0}, 0, {0}},
                        {"which", "I", {0, 0}, 0, {0}},
                        {"frame", "f", {3, 0}, 0, {0}}};
    if (!get_arguments(objects, a, 3)) return NULL;
    if (a[2].view.shape[0] != 4) return refuse(a, 3, "frame has the wrong shape");
    /* NaN is not. */
    if (!(frame.reach > 0 && frame.growth >= 0 && frame.growth <= MOST_GROWTH &&
          frame.radii[0] >= 0 && frame.radii[0] <= 1 && frame.radii[1] >= 0 &&
          frame.radii[1] <= 1 && frame.centre >= 0 && frame.centre <= 1) ||
        !are_within(&a[0], MOST_DEPTH) || !are_within(&a[2], MOST_DEPTH) ||
        !are_below(&a[1], a[0].view.shape[0]))
        return refuse(a, 3, "values out of range");
    const size_t count = (size_t)a[1].view.shape[0];
    frame.middle = a[2].view.buf, frame.axes = frame.middle + 3;
    PyObject *result = new_bytes(2 * count * sizeof(float));
    if (result) {
        float *places = (void *)PyByteArray_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        tx_disk(a[0].view.buf, a[1].view.buf, count, &frame, places);
        Py_END_ALLOW_THREADS
    }
    release_arguments(a, 3);
    return result;
}

const char py_move_doc[] =
    "move(rows, which, matrix, /)\n--\n\n"
    "Take rows and transform them, without the interpreter's lock.\n\n"
    "Args:\n"
    "    rows: (n, 3) float32.\n"
    "    which: (k,) uint32, the rows to take.\n"
    "    matrix: (3, 4) float32, the last column is added.\n\n"
    "Returns:\n"
    "    bytearray of float32 (k, 3).\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape, or a row that does not exist.\n";

PyObject *py_move(PyObject *module, PyObject *args) {
    PyObject *objects[3];
    (void)module;
    if (!PyArg_ParseTuple(args, "OOO:move", &objects[0], &objects[1], &objects[2])) return NULL;
    tx_argument a[3] = {{"rows", "f", {3, 0}, 0, {0}},
                        {"which", "I", {0, 0}, 0, {0}},
                        {"matrix", "f", {4, 0}, 0, {0}}};
    if (!get_arguments(objects, a, 3)) return NULL;
    if (a[2].view.shape[0] != 3) return refuse(a, 3, "matrix has the wrong shape");
    if (!are_below(&a[1], a[0].view.shape[0])) return refuse(a, 3, "rows out of range");
    const size_t count = (size_t)a[1].view.shape[0];
    PyObject *result = new_bytes(3 * count * sizeof(float));
    if (result) {
        float *out = (void *)PyByteArray_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        tx_move(a[0].view.buf, a[1].view.buf, count, a[2].view.buf, out);
        Py_END_ALLOW_THREADS
    }
    release_arguments(a, 3);
    return result;
}
