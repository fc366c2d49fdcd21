/* texture.c for Python (limited API): checks what it is given, then works without the lock. */

#include "texture_module.h"

#include <math.h>
#include <string.h>

#include "texture.h"

/* Pixels are counted in 16.16; MOST_SHARE times MOST_PHOTO stays below 2^15. */
enum { MOST_SIDE = 4096, MOST_PHOTO = 4096, MOST_SHARE = 4, MOST_DEPTH = 1 << 20 };

typedef struct {
    const char *name;
    const char *format; /* of the struct module: "f", "I" or "B" */
    Py_ssize_t columns[2]; /* of the second and third axis; 0: no such axis, -1: any */
    Py_buffer view;
} tx_argument;

static int get_argument(PyObject *object, tx_argument *want) {
    Py_buffer *view = &want->view;
    if (PyObject_GetBuffer(object, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0) {
        if (PyErr_ExceptionMatches(PyExc_BufferError)) {
            PyErr_Clear();
            PyErr_Format(PyExc_ValueError, "%s must be C-contiguous", want->name);
        }
        return 0;
    }
    const int axes = 1 + (want->columns[0] != 0) + (want->columns[1] != 0);
    int fits = view->ndim == axes;
    for (int k = 1; fits && k < axes; k++)
        fits = want->columns[k - 1] < 0 || view->shape[k] == want->columns[k - 1];
    if (!view->format || strcmp(view->format, want->format) != 0)
        PyErr_Format(PyExc_TypeError, "%s has the wrong type", want->name);
    else if (!fits) PyErr_Format(PyExc_ValueError, "%s has the wrong shape", want->name);
    else return 1;
    PyBuffer_Release(view);
    return 0;
}

static void release(tx_argument *arguments, size_t count) {
    while (count) PyBuffer_Release(&arguments[--count].view);
}

static int get_arguments(PyObject *const *objects, tx_argument *arguments, size_t count) {
    for (size_t k = 0; k < count; k++) {
        if (get_argument(objects[k], &arguments[k])) continue;
        release(arguments, k);
        return 0;
    }
    return 1;
}

static int fail(tx_argument *arguments, size_t count, const char *message) {
    release(arguments, count);
    PyErr_SetString(PyExc_ValueError, message);
    return 0;
}

/* Whether all of a triangle's numbers are below ``count``. */
static int are_below(const tx_argument *triangles, Py_ssize_t count) {
    const uint32_t *numbers = triangles->view.buf;
    uint32_t most = 0;
    for (Py_ssize_t k = 0; k < 3 * triangles->view.shape[0]; k++)
        if (numbers[k] > most) most = numbers[k];
    return !triangles->view.shape[0] || (Py_ssize_t)most < count;
}

/* Whether all numbers are between -most and most; NaN is not. */
static int are_within(const tx_argument *values, float most) {
    const float *at = values->view.buf;
    int outside = 0;
    for (Py_ssize_t k = 0; k < values->view.len / (Py_ssize_t)sizeof *at; k++)
        outside |= !(at[k] >= -most && at[k] <= most);
    return !outside;
}

static PyObject *new_bytes(size_t count) {
    return PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)count);
}

const char py_depth_doc[] =
    "depth(vertices, triangles, side, /)\n--\n\n"
    "Depth map of a mesh seen along z, without the interpreter's lock.\n\n"
    "Args:\n"
    "    vertices: (n, 3) float32, x and y in cells.\n"
    "    triangles: (m, 3) uint32.\n"
    "    side: cells of the map along each side.\n\n"
    "Returns:\n"
    "    bytearray of float32 (side, side), least z at each cell's centre, else infinity.\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape, a vertex that does not exist or is out of range.\n";

PyObject *py_depth(PyObject *module, PyObject *args) {
    PyObject *objects[2];
    int side;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOi:depth", &objects[0], &objects[1], &side)) return NULL;
    tx_argument a[2] = {{"vertices", "f", {3, 0}, {0}}, {"triangles", "I", {3, 0}, {0}}};
    if (!get_arguments(objects, a, 2)) return NULL;
    if (side < 1 || side > MOST_SIDE) return fail(a, 2, "side out of range"), NULL;
    if (!are_within(&a[0], MOST_DEPTH) || !are_below(&a[1], a[0].view.shape[0]))
        return fail(a, 2, "vertices out of range"), NULL;
    PyObject *result = new_bytes((size_t)side * (size_t)side * sizeof(float));
    if (result) {
        float *depth = (void *)PyByteArray_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        tx_depth(a[0].view.buf, a[1].view.buf, (size_t)a[1].view.shape[0], (size_t)side, depth);
        Py_END_ALLOW_THREADS
    }
    release(a, 2);
    return result;
}

const char py_trace_doc[] =
    "trace(places, spots, weights, triangles, nodes, /)\n--\n\n"
    "Find which point of a photo each part of an atlas shows, without the interpreter's lock.\n\n"
    "Args:\n"
    "    places: (n, 2) float32, where each vertex lies in the atlas, shares of its sides.\n"
    "    spots: (n, 2) float32, where it lies in the photo, likewise.\n"
    "    weights: (n,) float32, 0 to 1; a triangle whose corners all have 0 is not drawn.\n"
    "    triangles: (m, 3) uint32.\n"
    "    nodes: size of the result along each side.\n\n"
    "Returns:\n"
    "    bytearray of float32 (nodes, nodes, 3): spot and weight; weight 0 where nothing is.\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape, a vertex that does not exist or is out of range.\n";

PyObject *py_trace(PyObject *module, PyObject *args) {
    PyObject *objects[4];
    int nodes;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOOi:trace", &objects[0], &objects[1], &objects[2], &objects[3],
                          &nodes))
        return NULL;
    tx_argument a[4] = {{"places", "f", {2, 0}, {0}},
                        {"spots", "f", {2, 0}, {0}},
                        {"weights", "f", {0, 0}, {0}},
                        {"triangles", "I", {3, 0}, {0}}};
    if (!get_arguments(objects, a, 4)) return NULL;
    const Py_ssize_t count = a[0].view.shape[0];
    if (nodes < 4 || nodes > MOST_SIDE) return fail(a, 4, "nodes out of range"), NULL;
    if (a[1].view.shape[0] != count || a[2].view.shape[0] != count)
        return fail(a, 4, "places, spots and weights must be of the same vertices"), NULL;
    if (!are_within(&a[0], MOST_SHARE) || !are_within(&a[1], MOST_SHARE) || !are_within(&a[2], 1) ||
        !are_below(&a[3], count))
        return fail(a, 4, "vertices out of range"), NULL;
    PyObject *result = new_bytes(3 * (size_t)nodes * (size_t)nodes * sizeof(float));
    if (result) {
        const tx_mesh mesh = {a[0].view.buf, a[1].view.buf, a[2].view.buf, a[3].view.buf,
                              (size_t)a[3].view.shape[0]};
        float *trace = (void *)PyByteArray_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        tx_trace(&mesh, (size_t)nodes, trace);
        Py_END_ALLOW_THREADS
    }
    release(a, 4);
    return result;
}

const char py_blend_doc[] =
    "blend(trace, plan, photo, side, /)\n--\n\n"
    "Draw an atlas, without the interpreter's lock.\n\n"
    "Args:\n"
    "    trace: (nodes, nodes, 3) float32 as ``trace`` returns it.\n"
    "    plan: (cells, cells, 8) float32; cells divides nodes. Each cell has a base colour,\n"
    "        the share of the photo's detail, the photo's mean colour and the share of the\n"
    "        mirrored place's detail; colours 0 to 255, shares 0 to 1.\n"
    "    photo: (height, width, 3) uint8, at least 3 pixels each way.\n"
    "    side: texels along each side, a multiple of nodes.\n\n"
    "Returns:\n"
    "    bytearray of uint8 (side, side, 3): base + share x (photo - mean) + mirrored likewise.\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape, or values out of range.\n";

static int is_plan(const tx_argument *plan) {
    const float *at = plan->view.buf;
    const Py_ssize_t cells = plan->view.shape[0] * plan->view.shape[1];
    for (Py_ssize_t k = 0; k < TX_PLAN * cells; k++)
        if (!(at[k] >= 0 && at[k] <= (k % 4 < 3 ? 255 : 1))) return 0;
    return 1;
}

PyObject *py_blend(PyObject *module, PyObject *args) {
    PyObject *objects[3];
    int side;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOi:blend", &objects[0], &objects[1], &objects[2], &side))
        return NULL;
    tx_argument a[3] = {{"trace", "f", {-1, 3}, {0}},
                        {"plan", "f", {-1, TX_PLAN}, {0}},
                        {"photo", "B", {-1, 3}, {0}}};
    if (!get_arguments(objects, a, 3)) return NULL;
    const Py_ssize_t nodes = a[0].view.shape[0], cells = a[1].view.shape[0];
    const Py_ssize_t *size = a[2].view.shape;
    if (a[0].view.shape[1] != nodes || a[1].view.shape[1] != cells || cells < 1 || nodes < 1 ||
        nodes % cells || side > MOST_SIDE || side < nodes || side % nodes)
        return fail(a, 3, "cells must divide nodes, and nodes the side"), NULL;
    if (size[0] < 3 || size[1] < 3 || size[0] > MOST_PHOTO || size[1] > MOST_PHOTO)
        return fail(a, 3, "photo is too small or too large"), NULL;
    if (!is_plan(&a[1]) || !are_within(&a[0], MOST_SHARE))
        return fail(a, 3, "values out of range"), NULL;
    int done = 0;
    PyObject *result = new_bytes(3 * (size_t)side * (size_t)side);
    if (result) {
        const tx_photo photo = {a[2].view.buf, (size_t)size[0], (size_t)size[1]};
        uint8_t *picture = (void *)PyByteArray_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        done = tx_blend(a[0].view.buf, (size_t)nodes, a[1].view.buf, (size_t)cells, &photo,
                        (size_t)side, picture);
        Py_END_ALLOW_THREADS
    }
    release(a, 3);
    if (result && !done) {
        Py_DECREF(result);
        return PyErr_NoMemory();
    }
    return result;
}
