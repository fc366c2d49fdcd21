/* Wrap rows.c, triangles.c and attributes.c for Python (limited API): check, then work without the
   lock. */

#include "codec_module.h"

#include <float.h>
#include <math.h>

#include "../arguments.h"
#include "codec.h"

enum { MOST_STRIDE = 256, MOST_COUNT = 1 << 26 };

const char py_encode_rows_doc[] =
    "encode_rows(rows, order, /)\n--\n\n"
    "Encode rows as EXT_meshopt_compression stores attributes, without the interpreter's lock.\n\n"
    "Args:\n"
    "    rows: (n, width) uint8, 1 to 256 bytes each; zeros fill them up to a multiple of 4.\n"
    "    order: (m,) uint32, the rows to encode, at least one.\n\n"
    "Returns:\n"
    "    bytearray.\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape, or a row that does not exist.\n";

PyObject *py_encode_rows(PyObject *module, PyObject *args) {
    PyObject *objects[2];
    (void)module;
    if (!PyArg_ParseTuple(args, "OO:encode_rows", &objects[0], &objects[1])) return NULL;
    tx_argument a[2] = {{"rows", "B", {-1, 0}, 0, {0}}, {"order", "I", {0, 0}, 0, {0}}};
    if (!get_arguments(objects, a, 2)) return NULL;
    const Py_ssize_t width = a[0].view.shape[1], count = a[1].view.shape[0];
    const uint32_t *order = a[1].view.buf;
    if (width < 1 || width > MOST_STRIDE) return refuse(a, 2, "rows have the wrong shape");
    if (count < 1 || count > MOST_COUNT) return refuse(a, 2, "too many rows, or none");
    uint32_t most = 0;
    for (Py_ssize_t k = 0; k < count; k++) most = order[k] > most ? order[k] : most;
    if ((Py_ssize_t)most >= a[0].view.shape[0]) return refuse(a, 2, "order out of range");
    const size_t stride = ((size_t)width + 3) / 4 * 4;
    PyObject *result = new_bytes(mo_rows_bound((size_t)count, stride));
    size_t size = 0;
    if (result) {
        uint8_t *out = (void *)PyByteArray_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        size = mo_encode_rows(a[0].view.buf, (size_t)width, stride, order, (size_t)count, out);
        Py_END_ALLOW_THREADS
    }
    release_arguments(a, 2);
    if (result && PyByteArray_Resize(result, (Py_ssize_t)size) < 0) Py_CLEAR(result);
    return result;
}

const char py_encode_triangles_doc[] =
    "encode_triangles(triangles, count, /)\n--\n\n"
    "Encode triangles as EXT_meshopt_compression stores them, without the interpreter's lock.\n\n"
    "Their vertices get new numbers, in the order of their first use.\n\n"
    "Args:\n"
    "    triangles: (m, 3) uint32.\n"
    "    count: number of vertices.\n\n"
    "Returns:\n"
    "    bytearray, and a bytearray of uint32: the vertices that are used, in their new order.\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape, or a vertex that does not exist.\n";

PyObject *py_encode_triangles(PyObject *module, PyObject *args) {
    PyObject *object, *data = NULL, *order = NULL, *result = NULL;
    Py_ssize_t vertices;
    (void)module;
    if (!PyArg_ParseTuple(args, "On:encode_triangles", &object, &vertices)) return NULL;
    tx_argument a[1] = {{"triangles", "I", {3, 0}, 0, {0}}};
    if (!get_arguments(&object, a, 1)) return NULL;
    const Py_ssize_t count = a[0].view.shape[0];
    if (vertices < 0 || vertices > MOST_COUNT || count > MOST_COUNT)
        return refuse(a, 1, "too many triangles or vertices");
    if (!are_below(&a[0], vertices)) return refuse(a, 1, "vertices out of range");
    data = new_bytes(mo_triangles_bound((size_t)count));
    order = new_bytes((size_t)vertices * sizeof(uint32_t));
    if (data && order) {
        uint8_t *out = (void *)PyByteArray_AsString(data);
        uint32_t *numbers = (void *)PyByteArray_AsString(order);
        size_t size, used = 0;
        Py_BEGIN_ALLOW_THREADS
        size = mo_encode_triangles(a[0].view.buf, (size_t)count, (size_t)vertices, numbers, &used,
                                   out);
        Py_END_ALLOW_THREADS
        if (!size) PyErr_NoMemory();
        else if (PyByteArray_Resize(data, (Py_ssize_t)size) == 0 &&
                 PyByteArray_Resize(order, (Py_ssize_t)(used * sizeof(uint32_t))) == 0)
            result = PyTuple_Pack(2, data, order);
    }
    release_arguments(a, 1);
    Py_XDECREF(data);
    Py_XDECREF(order);
    return result;
}

const char py_octahedral_doc[] =
    "octahedral(normals, /)\n--\n\n"
    "Encode unit vectors in the octahedral form of EXT_meshopt_compression, 8 bits a part.\n\n"
    "Args:\n"
    "    normals: (n, 3) float32, each part between -1 and 1.\n\n"
    "Returns:\n"
    "    bytearray of int8 (n, 4).\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape, or no unit vectors.\n";

PyObject *py_octahedral(PyObject *module, PyObject *args) {
    PyObject *object;
    (void)module;
    if (!PyArg_ParseTuple(args, "O:octahedral", &object)) return NULL;
    tx_argument a[1] = {{"normals", "f", {3, 0}, 0, {0}}};
    if (!get_arguments(&object, a, 1)) return NULL;
    if (!are_within(&a[0], 1.001F)) return refuse(a, 1, "normals out of range");
    const size_t count = (size_t)a[0].view.shape[0];
    PyObject *result = new_bytes(4 * count);
    if (result) {
        int8_t *out = (void *)PyByteArray_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        mo_octahedral(a[0].view.buf, count, out);
        Py_END_ALLOW_THREADS
    }
    release_arguments(a, 1);
    return result;
}

const char py_snap_doc[] =
    "snap(positions, low, step, /)\n--\n\n"
    "Round positions to the points of a grid, without the interpreter's lock.\n\n"
    "Args:\n"
    "    positions: (n, 3) float32, at least one.\n"
    "    low: (3,) float64, the grid's origin.\n"
    "    step: distance of its points, above 0.\n\n"
    "Returns:\n"
    "    bytearray of uint16 (n, 3), in steps, at most 65535, and the number of different points.\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape, or numbers that are not finite.\n";

PyObject *py_snap(PyObject *module, PyObject *args) {
    PyObject *objects[2], *result = NULL;
    double step;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOd:snap", &objects[0], &objects[1], &step)) return NULL;
    tx_argument a[2] = {{"positions", "f", {3, 0}, 0, {0}}, {"low", "d", {0, 0}, 0, {0}}};
    if (!get_arguments(objects, a, 2)) return NULL;
    const Py_ssize_t count = a[0].view.shape[0];
    const double *low = a[1].view.buf;
    if (count < 1 || count > MOST_COUNT || a[1].view.shape[0] != 3)
        return refuse(a, 2, "positions or low have the wrong shape");
    if (!(step > 0) || !isfinite(step + low[0] + low[1] + low[2]) ||
        !are_within(&a[0], FLT_MAX))
        return refuse(a, 2, "positions, low and step must be finite");
    PyObject *points = new_bytes(3 * (size_t)count * sizeof(uint16_t));
    if (points) {
        uint16_t *out = (void *)PyByteArray_AsString(points);
        size_t found;
        Py_BEGIN_ALLOW_THREADS
        found = mo_snap(a[0].view.buf, (size_t)count, low, step, out);
        Py_END_ALLOW_THREADS
        result = found ? Py_BuildValue("On", points, (Py_ssize_t)found) : PyErr_NoMemory();
    }
    release_arguments(a, 2);
    Py_XDECREF(points);
    return result;
}
