/* Wrap gather.c, plan.c, light.c and blend.c for Python (limited API): check, then work without the
   lock. */

#include "../arguments.h"
#include "plan.h"
#include "texture.h"
#include "texture_module.h"

enum { MOST_CELLS = 256 };
/* Sums of colours, 0 to 255, times weights, 0 to 1; both may be rounded. */
static const float MOST_ROUNDING = 1e-3F, MOST_SUM = 256;

/* Whether a photo has a size that can be read; pixels are counted in 16.16. */
static int is_photo(const tx_argument *photo) {
    const Py_ssize_t *size = photo->view.shape;
    return size[0] >= 2 && size[1] >= 2 && size[0] <= MOST_PHOTO && size[1] <= MOST_PHOTO;
}

static tx_photo as_photo(const tx_argument *photo) {
    const Py_ssize_t *size = photo->view.shape;
    return (tx_photo){photo->view.buf, (size_t)size[0], (size_t)size[1]};
}

const char py_gather_doc[] =
    "gather(trace, photo, cells, /)\n--\n\n"
    "Average the colours that an atlas shows, without the interpreter's lock.\n\n"
    "Args:\n"
    "    trace: (nodes, nodes, 3) float32 as ``trace`` returns it.\n"
    "    photo: (height, width) uint32, at least 2 pixels each way; red is the lowest byte.\n"
    "    cells: size of the result along each side; it divides nodes.\n\n"
    "Returns:\n"
    "    bytearray of float32 (cells, cells, 4): mean of colour times weight, and of weight.\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape, or values out of range.\n";

PyObject *py_gather(PyObject *module, PyObject *args) {
    PyObject *objects[2];
    int cells;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOi:gather", &objects[0], &objects[1], &cells)) return NULL;
    tx_argument a[2] = {{"trace", "f", {-1, 3}, 0, {0}}, {"photo", "I", {-1, 0}, 0, {0}}};
    if (!get_arguments(objects, a, 2)) return NULL;
    const Py_ssize_t nodes = a[0].view.shape[0];
    if (a[0].view.shape[1] != nodes || cells < 1 || nodes < 1 || nodes % cells)
        return refuse(a, 2, "cells must divide nodes");
    if (!is_photo(&a[1])) return refuse(a, 2, "photo is too small or too large");
    if (!are_within(&a[0], MOST_SHARE)) return refuse(a, 2, "values out of range");
    PyObject *result = new_bytes(4 * (size_t)cells * (size_t)cells * sizeof(float));
    int done = 0;
    if (result) {
        const tx_photo photo = as_photo(&a[1]);
        float *sums = (void *)PyByteArray_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        done = tx_gather(a[0].view.buf, (size_t)nodes, &photo, (size_t)cells, sums);
        Py_END_ALLOW_THREADS
    }
    return finish(a, 2, result, done);
}

const char py_plan_doc[] =
    "plan(sums, groups, mouth, facing, rows, strip, /)\n--\n\n"
    "Plan an atlas on a coarse grid, without the interpreter's lock.\n\n"
    "Args:\n"
    "    sums: (cells, cells, 4) float32 as ``gather`` returns it, of weights 0 to 1; cells is a\n"
    "        power of two, 2 to 256.\n"
    "    groups: (cells, cells) uint8, 0 skin, 1 neck, 2 hair, 3 lips, 4 eyes, 5 dark.\n"
    "    mouth: (cells, cells) uint8, 1 in the mouth and next to it, else 0.\n"
    "    facing: (cells, cells, 3) float32, the direction that each cell faces, about unit.\n"
    "    rows: cells of the head's island from top to bottom.\n"
    "    strip: cells of the strips around it.\n\n"
    "Returns:\n"
    "    bytearray of float32 (cells, cells, 8), the plan as ``blend`` takes it.\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape, or values out of range.\n";

static const char *what_is_wrong(const tx_argument *a, int rows, int strip) {
    const Py_ssize_t side = a[0].view.shape[0];
    if (side < 2 || side > MOST_CELLS || side & (side - 1)) return "cells must be a power of two";
    for (int k = 0; k < 4; k++)
        if (a[k].view.shape[0] != side || a[k].view.shape[1] != side)
            return "all must be of the same cells";
    if (strip < 0 || strip >= side || rows > side || 2 * strip >= rows)
        return "rows and strip must fit";
    const float *sums = a[0].view.buf;
    const uint8_t *groups = a[1].view.buf;
    int fits = are_within(&a[3], MOST_SHARE);
    for (Py_ssize_t k = 0; k < 4 * side * side; k++)
        fits &= sums[k] >= 0 && sums[k] <= (k % 4 < 3 ? MOST_SUM : 1 + MOST_ROUNDING);
    for (Py_ssize_t k = 0; k < side * side; k++) fits &= groups[k] < TX_GROUPS;
    return fits ? NULL : "values out of range";
}

PyObject *py_plan(PyObject *module, PyObject *args) {
    PyObject *objects[4];
    int rows, strip;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOOii:plan", &objects[0], &objects[1], &objects[2], &objects[3],
                          &rows, &strip))
        return NULL;
    tx_argument a[4] = {{"sums", "f", {-1, 4}, 0, {0}},
                        {"groups", "B", {-1, 0}, 0, {0}},
                        {"mouth", "B", {-1, 0}, 0, {0}},
                        {"facing", "f", {-1, 3}, 0, {0}}};
    if (!get_arguments(objects, a, 4)) return NULL;
    const char *wrong = what_is_wrong(a, rows, strip);
    if (wrong) return refuse(a, 4, wrong);
    const size_t side = (size_t)a[0].view.shape[0];
    PyObject *result = new_bytes(TX_PLAN * side * side * sizeof(float));
    int done = 0;
    if (result) {
        const tx_cells cells = {side, a[0].view.buf, a[1].view.buf, a[2].view.buf, a[3].view.buf,
                                (size_t)rows, (size_t)strip};
        float *plan = (void *)PyByteArray_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        done = tx_plan(&cells, plan);
        Py_END_ALLOW_THREADS
    }
    return finish(a, 4, result, done);
}

const char py_blend_doc[] =
    "blend(trace, plan, photo, picture, /)\n--\n\n"
    "Paint an atlas, without the interpreter's lock.\n\n"
    "Args:\n"
    "    trace: (nodes, nodes, 3) float32 as ``trace`` returns it.\n"
    "    plan: (cells, cells, 8) float32; cells divides nodes. Each cell has its colour without\n"
    "        detail and the photo's mean colour, 0 to 255, the share of the photo's detail and the\n"
    "        share of the mirrored place's detail, 0 to 1.\n"
    "    photo: (height, width) uint32, at least 2 pixels each way; red is the lowest byte.\n"
    "    picture: (side, side, 3) uint8, written: colour + share x (photo - mean) + mirrored\n"
    "        likewise; side is a multiple of nodes.\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape, or values out of range.\n";

static int is_plan(const tx_argument *plan) {
    const float *at = plan->view.buf;
    const Py_ssize_t cells = plan->view.shape[0] * plan->view.shape[1];
    for (Py_ssize_t k = 0; k < TX_PLAN * cells; k++)
        if (!(at[k] >= 0 && at[k] <= (k % TX_PLAN < TX_OWN ? 255 : 1))) return 0;
    return 1;
}

PyObject *py_blend(PyObject *module, PyObject *args) {
    PyObject *objects[4];
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOO:blend", &objects[0], &objects[1], &objects[2], &objects[3]))
        return NULL;
    tx_argument a[4] = {{"trace", "f", {-1, 3}, 0, {0}},
                        {"plan", "f", {-1, TX_PLAN}, 0, {0}},
                        {"photo", "I", {-1, 0}, 0, {0}},
                        {"picture", "B", {-1, 3}, 1, {0}}};
    if (!get_arguments(objects, a, 4)) return NULL;
    const Py_ssize_t nodes = a[0].view.shape[0], cells = a[1].view.shape[0];
    const Py_ssize_t side = a[3].view.shape[0];
    if (a[0].view.shape[1] != nodes || a[1].view.shape[1] != cells ||
        a[3].view.shape[1] != side || cells < 1 || nodes < 1 || nodes % cells ||
        side > MOST_SIDE || side < nodes || side % nodes)
        return refuse(a, 4, "cells must divide nodes, and nodes the side");
    if (!is_photo(&a[2])) return refuse(a, 4, "photo is too small or too large");
    if (!is_plan(&a[1]) || !are_within(&a[0], MOST_SHARE))
        return refuse(a, 4, "values out of range");
    const tx_photo photo = as_photo(&a[2]);
    int done;
    Py_BEGIN_ALLOW_THREADS
    done = tx_blend(a[0].view.buf, (size_t)nodes, a[1].view.buf, (size_t)cells, &photo,
                    (size_t)side, a[3].view.buf);
    Py_END_ALLOW_THREADS
    release_arguments(a, 4);
    if (!done) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

const char py_facing_doc[] =
    "facing(vertices, corners, /)\n--\n\n"
    "Directions that triangles of a mesh face, interpolated, without the interpreter's lock.\n\n"
    "Args:\n"
    "    vertices: (n, 3) float32.\n"
    "    corners: (side, side, 3) int32, the vertices of a triangle for each of some cells.\n\n"
    "Returns:\n"
    "    bytearray of float32 (2 side, 2 side, 3), about unit: the cells' halves.\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape, a vertex that does not exist or is out of range.\n";

PyObject *py_facing(PyObject *module, PyObject *args) {
    PyObject *objects[2];
    (void)module;
    if (!PyArg_ParseTuple(args, "OO:facing", &objects[0], &objects[1])) return NULL;
    tx_argument a[2] = {{"vertices", "f", {3, 0}, 0, {0}}, {"corners", "i", {-1, 3}, 0, {0}}};
    if (!get_arguments(objects, a, 2)) return NULL;
    const Py_ssize_t side = a[1].view.shape[0];
    if (side < 1 || side > MOST_CELLS || a[1].view.shape[1] != side)
        return refuse(a, 2, "corners must be of a square of cells");
    if (!are_within(&a[0], MOST_DEPTH) || !are_below(&a[1], a[0].view.shape[0]))
        return refuse(a, 2, "vertices out of range");
    PyObject *result = new_bytes(12 * (size_t)side * (size_t)side * sizeof(float));
    int done = 0;
    if (result) {
        float *facing = (void *)PyByteArray_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        done = tx_facing(a[0].view.buf, a[1].view.buf, (size_t)side, facing);
        Py_END_ALLOW_THREADS
    }
    return finish(a, 2, result, done);
}
