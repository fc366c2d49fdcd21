/* Wrap depth.c, outline.c, visibility.c, trace.c and fade.c for Python, as atlas_module.c does. */

#include "texture_module.h"

#include "../arguments.h"
#include "texture.h"

const char py_depth_doc[] =
    "depth(vertices, source, triangles, side, /)\n--\n\n"
    "Depth maps of a mesh seen along z, without the interpreter's lock.\n\n"
    "Args:\n"
    "    vertices: (n, 3) float32, x and y in cells.\n"
    "    source: (n,) int32, below 0 on hair.\n"
    "    triangles: (m, 3) uint32; one with a vertex on hair is hair.\n"
    "    side: cells of the maps along each side.\n\n"
    "Returns:\n"
    "    bytearray of float32 (2, side, side), least z at each cell's centre, else infinity, of the\n"
    "        head and of hair.\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape, a vertex that does not exist or is out of range.\n";

PyObject *py_depth(PyObject *module, PyObject *args) {
    PyObject *objects[3];
    int side;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOi:depth", &objects[0], &objects[1], &objects[2], &side))
        return NULL;
    tx_argument a[3] = {{"vertices", "f", {3, 0}, 0, {0}},
                        {"source", "i", {0, 0}, 0, {0}},
                        {"triangles", "I", {3, 0}, 0, {0}}};
    if (!get_arguments(objects, a, 3)) return NULL;
    if (side < 1 || side > MOST_SIDE) return refuse(a, 3, "side out of range");
    if (a[1].view.shape[0] != a[0].view.shape[0])
        return refuse(a, 3, "vertices and source must be as many");
    if (!are_within(&a[0], MOST_DEPTH) || !are_below(&a[2], a[0].view.shape[0]))
        return refuse(a, 3, "vertices out of range");
    PyObject *result = new_bytes(2 * (size_t)side * (size_t)side * sizeof(float));
    int done = 0;
    if (result) {
        float *depth = (void *)PyByteArray_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        done = tx_depth(a[0].view.buf, a[1].view.buf, (size_t)a[0].view.shape[0], a[2].view.buf,
                        (size_t)a[2].view.shape[0], (size_t)side, depth);
        Py_END_ALLOW_THREADS
    }
    return finish(a, 3, result, done);
}

const char py_outline_doc[] =
    "outline(maps, /)\n--\n\n"
    "How near cells of depth maps are to the outline, without the interpreter's lock.\n\n"
    "Args:\n"
    "    maps: (2, side, side) float32 as ``depth`` returns them.\n\n"
    "Returns:\n"
    "    bytearrays of float32 (2, side, side), least depth within two cells, of each map; and\n"
    "        (side, side), the distance to what is infinitely far in both, cells, exact up to 3.8.\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape.\n";

PyObject *py_outline(PyObject *module, PyObject *args) {
    PyObject *objects[1], *around, *inside, *result = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "O:outline", &objects[0])) return NULL;
    tx_argument a[1] = {{"maps", "f", {-1, -1}, 0, {0}}};
    if (!get_arguments(objects, a, 1)) return NULL;
    const Py_ssize_t *maps = a[0].view.shape, side = maps[1];
    if (maps[0] != 2 || maps[2] != side || side < 1 || side > MOST_SIDE)
        return refuse(a, 1, "maps must be two squares of one size");
    around = new_bytes(2 * (size_t)(side * side) * sizeof(float));
    inside = new_bytes((size_t)(side * side) * sizeof(float));
    if (around && inside) {
        float *near = (void *)PyByteArray_AsString(around);
        float *away = (void *)PyByteArray_AsString(inside);
        int done;
        Py_BEGIN_ALLOW_THREADS
        done = tx_outline(a[0].view.buf, (size_t)side, near, away);
        Py_END_ALLOW_THREADS
        result = done ? PyTuple_Pack(2, around, inside) : PyErr_NoMemory();
    }
    Py_XDECREF(around);
    Py_XDECREF(inside);
    release_arguments(a, 1);
    return result;
}

const char py_normals_doc[] =
    "normals(vertices, triangles, /)\n--\n\n"
    "Normals of the vertices of a mesh, without the interpreter's lock.\n\n"
    "Args:\n"
    "    vertices: (n, 3) float32.\n"
    "    triangles: (m, 3) int32, counter-clockwise seen from outside.\n\n"
    "Returns:\n"
    "    bytearray of float32 (n, 3), unit, outwards; 0 where no triangle has an area.\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape, a vertex that does not exist or is out of range.\n";

PyObject *py_normals(PyObject *module, PyObject *args) {
    PyObject *objects[2];
    (void)module;
    if (!PyArg_ParseTuple(args, "OO:normals", &objects[0], &objects[1])) return NULL;
    tx_argument a[2] = {{"vertices", "f", {3, 0}, 0, {0}}, {"triangles", "i", {3, 0}, 0, {0}}};
    if (!get_arguments(objects, a, 2)) return NULL;
    const Py_ssize_t count = a[0].view.shape[0];
    /* A negative number is a large one without its sign. */
    if (!are_within(&a[0], MOST_DEPTH) || !are_below(&a[1], count))
        return refuse(a, 2, "vertices out of range");
    PyObject *result = new_bytes(3 * (size_t)count * sizeof(float));
    if (result) {
        float *normals = (void *)PyByteArray_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        tx_normals(a[0].view.buf, (size_t)count, a[1].view.buf, (size_t)a[1].view.shape[0],
                   normals);
        Py_END_ALLOW_THREADS
    }
    release_arguments(a, 2);
    return result;
}

const char py_seen_doc[] =
    "seen(vertices, normals, which, maps, around, inside, sides, bare, /)\n--\n\n"
    "What vertices of a mesh show of the photo, without the interpreter's lock.\n\n"
    "Args:\n"
    "    vertices: (n, 3) float32, x and y in cells.\n"
    "    normals: (n, 3) float32.\n"
    "    which: (k,) uint32, the vertices.\n"
    "    maps: (2, side, side) float32 as ``depth`` returns them.\n"
    "    around, inside: (2, side, side) and (side, side) float32 as ``outline`` returns them.\n"
    "    sides: (k, 3) float32, lines of the photo's border: the distance inside of one is its dot\n"
    "        product with (x, y, 1).\n"
    "    bare: whether the vertices are skin, which shows thin hair in front of it.\n\n"
    "Returns:\n"
    "    bytearray of float32 (k, 3): x and y, shares of the maps' sides, -1 to 2, and how well\n"
    "        each is visible, 0 to 1.\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape, or vertices out of range.\n";

PyObject *py_seen(PyObject *module, PyObject *args) {
    PyObject *objects[7];
    int bare;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOOOOOp:seen", &objects[0], &objects[1], &objects[2], &objects[3],
                          &objects[4], &objects[5], &objects[6], &bare))
        return NULL;
    tx_argument a[7] = {{"vertices", "f", {3, 0}, 0, {0}},
                        {"normals", "f", {3, 0}, 0, {0}},
                        {"which", "I", {0, 0}, 0, {0}},
                        {"maps", "f", {-1, -1}, 0, {0}},
                        {"around", "f", {-1, -1}, 0, {0}},
                        {"inside", "f", {-1, 0}, 0, {0}},
                        {"sides", "f", {3, 0}, 0, {0}}};
    if (!get_arguments(objects, a, 7)) return NULL;
    const Py_ssize_t count = a[0].view.shape[0], side = a[5].view.shape[0];
    if (a[1].view.shape[0] != count)
        return refuse(a, 7, "vertices and normals must be as many");
    const Py_ssize_t *maps = a[3].view.shape, *around = a[4].view.shape;
    if (side < 1 || maps[0] != 2 || maps[1] != side || maps[2] != side || around[0] != 2 ||
        around[1] != side || around[2] != side || a[5].view.shape[1] != side)
        return refuse(a, 7, "maps must be squares of one size");
    if (!are_within(&a[0], MOST_DEPTH) || !are_below(&a[2], count))
        return refuse(a, 7, "vertices out of range");
    const size_t wanted = (size_t)a[2].view.shape[0];
    PyObject *result = new_bytes(3 * wanted * sizeof(float));
    if (result) {
        const float *head = a[3].view.buf, *near = a[4].view.buf;
        const tx_depths depths = {
            head, head + side * side, near, near + side * side, a[5].view.buf, bare,
            (size_t)side, a[6].view.buf, (size_t)a[6].view.shape[0]};
        float *seen = (void *)PyByteArray_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        tx_seen(a[0].view.buf, a[1].view.buf, a[2].view.buf, wanted, &depths, seen);
        Py_END_ALLOW_THREADS
    }
    release_arguments(a, 7);
    return result;
}

const char py_trace_doc[] =
    "trace(places, triangles, seen, first, nodes, /)\n--\n\n"
    "Find which point of a photo each part of an atlas shows, without the interpreter's lock.\n\n"
    "Args:\n"
    "    places: (k, 2) float32, in the atlas, shares of its sides.\n"
    "    triangles: (m, 3) uint32, of places; those with a corner below ``first`` are not drawn.\n"
    "    seen: (k - first, 3) float32, what the other places show, as ``seen`` returns it; a\n"
    "        triangle whose corners all have the weight 0 is not drawn.\n"
    "    first: a place, at most k.\n"
    "    nodes: size of the result along each side.\n\n"
    "Returns:\n"
    "    bytearray of float32 (nodes, nodes, 3): spot and weight; weight 0 where nothing is.\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape, a vertex that does not exist or is out of range.\n";

PyObject *py_trace(PyObject *module, PyObject *args) {
    PyObject *objects[3];
    int first, nodes;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOii:trace", &objects[0], &objects[1], &objects[2], &first,
                          &nodes))
        return NULL;
    tx_argument a[3] = {{"places", "f", {2, 0}, 0, {0}},
                        {"triangles", "I", {3, 0}, 0, {0}},
                        {"seen", "f", {3, 0}, 0, {0}}};
    if (!get_arguments(objects, a, 3)) return NULL;
    const Py_ssize_t count = a[0].view.shape[0];
    if (nodes < 4 || nodes > MOST_SIDE) return refuse(a, 3, "nodes out of range");
    if (first < 0 || first > count || a[2].view.shape[0] != count - first)
        return refuse(a, 3, "seen must be of the places from first on");
    if (!are_within(&a[0], MOST_SHARE) || !are_within(&a[2], MOST_SHARE) ||
        !are_below(&a[1], count))
        return refuse(a, 3, "vertices out of range");
    PyObject *result = new_bytes(3 * (size_t)nodes * (size_t)nodes * sizeof(float));
    if (result) {
        const tx_mesh mesh = {a[0].view.buf, a[1].view.buf, a[2].view.buf,
                              (size_t)a[1].view.shape[0], (uint32_t)first};
        float *trace = (void *)PyByteArray_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        tx_trace(&mesh, (size_t)nodes, trace);
        Py_END_ALLOW_THREADS
    }
    release_arguments(a, 3);
    return result;
}

const char py_trace_head_doc[] =
    "trace_head(corners, shares, seen, trace, /)\n--\n\n"
    "Find which point of a photo the nodes of the head's island show, without the interpreter's\n"
    "lock.\n\n"
    "Args:\n"
    "    corners: (k, 3) int32, vertices of the triangle that each node lies in.\n"
    "    shares: (k, 2) float32, weights of the second and third.\n"
    "    seen: (n, 3) float32, what each vertex shows, as ``seen`` returns it.\n"
    "    trace: (k, 3) float32, written: spot and weight.\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape, a vertex that does not exist or is out of range.\n";

PyObject *py_trace_head(PyObject *module, PyObject *args) {
    PyObject *objects[4];
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOO:trace_head", &objects[0], &objects[1], &objects[2],
                          &objects[3]))
        return NULL;
    tx_argument a[4] = {{"corners", "i", {3, 0}, 0, {0}},
                        {"shares", "f", {2, 0}, 0, {0}},
                        {"seen", "f", {3, 0}, 0, {0}},
                        {"trace", "f", {3, 0}, 1, {0}}};
    if (!get_arguments(objects, a, 4)) return NULL;
    const Py_ssize_t nodes = a[0].view.shape[0], count = a[2].view.shape[0];
    if (a[1].view.shape[0] != nodes || a[3].view.shape[0] != nodes)
        return refuse(a, 4, "corners, shares and trace must be of the same nodes");
    if (!are_within(&a[1], 1) || !are_within(&a[2], MOST_SHARE) || !are_below(&a[0], count))
        return refuse(a, 4, "vertices out of range");
    const tx_nodes table = {a[0].view.buf, a[1].view.buf, (size_t)nodes};
    int done;
    Py_BEGIN_ALLOW_THREADS
    done = tx_trace_head(&table, a[2].view.buf, (size_t)count, a[3].view.buf);
    Py_END_ALLOW_THREADS
    release_arguments(a, 4);
    if (!done) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

const char py_fade_doc[] =
    "fade(mouth, trace, /)\n--\n\n"
    "Fade the photo towards what is not seen, without the interpreter's lock.\n\n"
    "Args:\n"
    "    mouth: (cells, cells) uint8, other than 0 in the mouth; cells divides nodes.\n"
    "    trace: (nodes, nodes, 3) float32 as ``trace`` returns it; its weights are changed.\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape.\n";

PyObject *py_fade(PyObject *module, PyObject *args) {
    PyObject *objects[2];
    (void)module;
    if (!PyArg_ParseTuple(args, "OO:fade", &objects[0], &objects[1])) return NULL;
    tx_argument a[2] = {{"mouth", "B", {-1, 0}, 0, {0}}, {"trace", "f", {-1, 3}, 1, {0}}};
    if (!get_arguments(objects, a, 2)) return NULL;
    const Py_ssize_t cells = a[0].view.shape[0], nodes = a[1].view.shape[0];
    if (a[0].view.shape[1] != cells || a[1].view.shape[1] != nodes || cells < 1 || nodes < 4 ||
        nodes > MOST_SIDE || nodes % cells)
        return refuse(a, 2, "cells must divide nodes");
    int done;
    Py_BEGIN_ALLOW_THREADS
    done = tx_fade(a[1].view.buf, (size_t)nodes, a[0].view.buf, (size_t)cells);
    Py_END_ALLOW_THREADS
    release_arguments(a, 2);
    if (!done) return PyErr_NoMemory();
    Py_RETURN_NONE;
}
