/* Wrap compose.c for Python (limited API): check what it is given, then work without the lock. */

#include "compose_module.h"

#include <string.h>

#include "compose.h"

const char py_compose_doc[] =
    "compose(vertices, faces, guard, hair, step, rounds, /)\n--\n\n"
    "Compose the surface of a posed head and its hair, without the interpreter's lock.\n\n"
    "Args:\n"
    "    vertices: (n, 3) float32, of the posed head in crop pixels.\n"
    "    faces: (m, 6) int32, triangles, closed, counter-clockwise seen from outside, and the\n"
    "        triangle on the other side of the edge from each corner to the next; -1: none.\n"
    "    guard: (n,) float32, 1 where hair must not cover the skin, 0 where it may.\n"
    "    hair: (depth, height, width) uint8, 255 inside, cells of 4 px.\n"
    "    step: distance of the lattice's nodes, 1, 2 or 4 px.\n"
    "    rounds: of smoothing along the surface, 0 to 8, so that the vertices are evenly\n"
    "        spaced.\n\n"
    "Returns:\n"
    "    Five bytearrays: vertices and unit normals (x, y, z) as float32, triangles as\n"
    "    uint32, of each vertex the head's triangle that it lies on as int32 (-1: hair),\n"
    "    and the weights of that triangle's second and third corner as float32. All are\n"
    "    empty where there is nothing.\n\n"
    "Raises:\n"
    "    TypeError: an argument has the wrong type.\n"
    "    ValueError: a shape, the step or the rounds are wrong, or a face has a corner\n"
    "        that is no vertex or a neighbour that is no face.\n"
    "    OverflowError: a vertex is not finite, or head and hair are over 480 px long.\n";

enum { MOST_ROUNDS = 8 };
/* Arguments that are arrays. */
enum { VERTICES, FACES, GUARD, HAIR, ARRAYS };
static const struct {
    const char *name, *format;
    int dimensions;
    Py_ssize_t width; /* of the last dimension, 0: any */
} expected[ARRAYS] = {
    {"vertices", "f", 2, 3},
    {"faces", "i", 2, 6},
    {"guard", "f", 1, 0},
    {"hair", "B", 3, 0}};

static int get_array(PyObject *object, int which, Py_buffer *view) {
    const char *name = expected[which].name;
    if (PyObject_GetBuffer(object, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0) {
        if (PyErr_ExceptionMatches(PyExc_BufferError)) {
            PyErr_Clear();
            PyErr_Format(PyExc_ValueError, "%s must be C-contiguous", name);
        }
        return 0;
    }
    if (!view->format || strcmp(view->format, expected[which].format) != 0)
        PyErr_Format(PyExc_TypeError, "%s must have the format %s", name, expected[which].format);
    else if (view->ndim != expected[which].dimensions ||
             (expected[which].width && view->shape[view->ndim - 1] != expected[which].width))
        PyErr_Format(PyExc_ValueError, "%s has the wrong shape", name);
    else
        return 1;
    PyBuffer_Release(view);
    return 0;
}

/* Whether all corners are vertices, and all neighbours faces or -1. Two faces are three vectors. */
static int are_faces(const pm_face *faces, size_t count, int32_t n) {
    const int32_t m = (int32_t)count;
    const pm_four_ints least[3] = {{0, 0, 0, -1}, {-1, -1, 0, 0}, {0, -1, -1, -1}};
    const pm_four_ints end[3] = {{n, n, n, m}, {m, m, n, n}, {n, m, m, m}};
    pm_four_ints wrong = {0};
    for (size_t t = 0; t < count; t += 2) {
        pm_face last[2];
        const pm_face *two = faces + t;
        if (t + 1 == count) {
            last[0] = last[1] = *two;
            two = last;
        }
        for (int i = 0; i < 3; i++) {
            pm_four_ints part;
            memcpy(&part, (const char *)two + i * sizeof part, sizeof part);
            wrong |= (part < least[i]) | (part >= end[i]);
        }
    }
    return !(wrong[0] | wrong[1] | wrong[2] | wrong[3]);
}

static const char *what_is_wrong(const Py_buffer *views, int step, int rounds) {
    if (step != 1 && step != 2 && step != 4) return "step must be 1, 2 or 4";
    if (rounds < 0 || rounds > MOST_ROUNDS) return "rounds must be 0 to 8";
    for (int a = 0; a < 3; a++)
        if (views[HAIR].shape[a] < 4 || views[HAIR].shape[a] > MOST_HAIR_CELLS)
            return "hair has the wrong shape";
    if (views[GUARD].shape[0] != views[VERTICES].shape[0]) return "guard has the wrong shape";
    if (views[VERTICES].shape[0] > INT32_MAX || views[FACES].shape[0] > INT32_MAX)
        return "the head has too many vertices or triangles";
    if (!are_faces(views[FACES].buf, (size_t)views[FACES].shape[0],
                   (int32_t)views[VERTICES].shape[0]))
        return "faces have corners that are no vertices or neighbours that are no faces";
    return NULL;
}

/* Three of four. */
static void pack(const pm_four *from, size_t count, char *to) {
    for (size_t i = 0; i < count; i++) memcpy(to + 12 * i, from + i, 12);
}

static PyObject *as_tuple(const pm_mesh *mesh) {
    const size_t n = mesh->vertex_count;
    const void *parts[5] = {mesh->places, mesh->normals, mesh->triangles, mesh->source,
                            mesh->weights};
    const size_t sizes[5] = {12 * n, 12 * n, 12 * mesh->triangle_count, 4 * n, 8 * n};
    PyObject *arrays[5], *result = NULL;
    int made = 0;
    for (; made < 5; made++) {
        arrays[made] = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)sizes[made]);
        if (!arrays[made]) break;
        char *to = PyByteArray_AsString(arrays[made]);
        if (made < 2) pack(parts[made], n, to);
        else if (sizes[made]) memcpy(to, parts[made], sizes[made]);
    }
    if (made == 5)
        result = PyTuple_Pack(5, arrays[0], arrays[1], arrays[2], arrays[3], arrays[4]);
    while (made) Py_DECREF(arrays[--made]);
    return result;
}

static PyObject *compose_views(const Py_buffer *views, int step, int rounds) {
    const char *wrong = what_is_wrong(views, step, rounds);
    if (wrong) {
        PyErr_SetString(PyExc_ValueError, wrong);
        return NULL;
    }
    const pm_input input = {
        .head = {views[VERTICES].buf, views[FACES].buf, (size_t)views[VERTICES].shape[0],
                 (size_t)views[FACES].shape[0]},
        .guard = views[GUARD].buf,
        .hair = views[HAIR].buf,
        .cells = {(size_t)views[HAIR].shape[2], (size_t)views[HAIR].shape[1],
                  (size_t)views[HAIR].shape[0]},
        .step = step,
        .rounds = rounds};
    pm_mesh mesh;
    pm_status status;
    Py_BEGIN_ALLOW_THREADS
    status = pm_compose(&input, &mesh);
    Py_END_ALLOW_THREADS
    if (status == PM_NO_MEMORY) return PyErr_NoMemory();
    if (status == PM_BAD_SHAPE) {
        PyErr_SetString(PyExc_OverflowError, "head and hair are not finite or too large");
        return NULL;
    }
    PyObject *result = as_tuple(&mesh);
    pm_free_mesh(&mesh);
    return result;
}

PyObject *py_compose(PyObject *module, PyObject *args) {
    PyObject *objects[ARRAYS], *result = NULL;
    Py_buffer views[ARRAYS];
    int step, rounds, got = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOOii:compose", objects, objects + 1, objects + 2, objects + 3,
                          &step, &rounds))
        return NULL;
    while (got < ARRAYS && get_array(objects[got], got, views + got)) got++;
    if (got == ARRAYS) result = compose_views(views, step, rounds);
    while (got) PyBuffer_Release(views + --got);
    return result;
}
