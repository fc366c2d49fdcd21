/* protome.mesh._kernel: marching_cubes.c for Python (limited API, one build for 3.11 and later). */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <string.h>

#include "marching_cubes.h"
#include "texture.h"
#include "texture_module.h"

PyDoc_STRVAR(extract_doc,
             "extract(volume, voxel, largest, /)\n--\n\n"
             "The surface at 127.5; runs without the interpreter's lock.\n\n"
             "Args:\n"
             "    volume: (depth, height, width) uint8, C-contiguous.\n"
             "    voxel: extent of a voxel along z, y and x.\n"
             "    largest: keep only the piece with the most triangles.\n\n"
             "Returns:\n"
             "    Vertices (x, y, z) and unit normals as float32, triangles as uint32: three\n"
             "    bytearrays, empty when nothing is occupied.\n\n"
             "Raises:\n"
             "    TypeError: the volume is no buffer of bytes, or another argument's type is wrong.\n"
             "    ValueError: not three dimensions, not contiguous, an extent that is not positive\n"
             "        and finite, or more voxels than 32-bit vertex numbers reach.\n");

static int get_volume(PyObject *object, Py_buffer *view) {
    if (PyObject_GetBuffer(object, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0) {
        if (PyErr_ExceptionMatches(PyExc_BufferError)) {
            PyErr_Clear();
            PyErr_SetString(PyExc_ValueError, "volume must be C-contiguous");
        }
        return 0;
    }
    if (view->itemsize != 1 || !view->format || strcmp(view->format, "B") != 0)
        PyErr_SetString(PyExc_TypeError, "volume must be uint8");
    else if (view->ndim != 3)
        PyErr_Format(PyExc_ValueError, "volume must have 3 dimensions, not %d", view->ndim);
    else
        return 1;
    PyBuffer_Release(view);
    return 0;
}

/* Room for ``count`` triples of 4-byte items, not filled yet. */
static PyObject *new_bytearray(size_t count) {
    if (count > (size_t)PY_SSIZE_T_MAX / 12) return PyErr_NoMemory();
    return PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(12 * count));
}

/* Three bytearrays with what the mesh holds. */
static PyObject *as_tuple(const mc_mesh *mesh) {
    const void *parts[3] = {mesh->vertices, mesh->normals, mesh->triangles};
    const size_t counts[3] = {mesh->vertex_count, mesh->vertex_count, mesh->triangle_count};
    PyObject *arrays[3], *result = NULL;
    char *rooms[3];
    int made = 0;
    for (; made < 3; made++) {
        arrays[made] = new_bytearray(counts[made]);
        if (!arrays[made]) break;
        rooms[made] = PyByteArray_AsString(arrays[made]);
    }
    if (made == 3) {
        /* Nobody else knows of the arrays yet. */
        Py_BEGIN_ALLOW_THREADS
        for (int i = 0; i < 3; i++)
            if (counts[i]) memcpy(rooms[i], parts[i], 12 * counts[i]);
        Py_END_ALLOW_THREADS
        result = PyTuple_Pack(3, arrays[0], arrays[1], arrays[2]);
    }
    while (made) Py_DECREF(arrays[--made]);
    return result;
}

static PyObject *extract(PyObject *module, PyObject *args) {
    PyObject *object;
    float voxel[3];
    int largest;
    (void)module;
    if (!PyArg_ParseTuple(args, "O(fff)p:extract", &object, voxel, voxel + 1, voxel + 2, &largest))
        return NULL;
    for (int a = 0; a < 3; a++) {
        if (!(voxel[a] > 0 && isfinite(voxel[a]))) {
            PyErr_SetString(PyExc_ValueError, "voxel must be positive and finite");
            return NULL;
        }
    }
    Py_buffer view;
    if (!get_volume(object, &view)) return NULL;
    const size_t shape[3] = {(size_t)view.shape[0], (size_t)view.shape[1], (size_t)view.shape[2]};
    mc_mesh mesh;
    mc_status status;
    Py_BEGIN_ALLOW_THREADS
    status = mc_extract(view.buf, shape, voxel, largest, &mesh);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&view);
    if (status == MC_NO_MEMORY) return PyErr_NoMemory();
    if (status == MC_TOO_LARGE) {
        PyErr_SetString(PyExc_ValueError, "volume has too many voxels");
        return NULL;
    }
    PyObject *result = as_tuple(&mesh);
    mc_free(&mesh);
    return result;
}

static PyMethodDef methods[] = {
    {"extract", extract, METH_VARARGS, extract_doc}, TEXTURE_METHODS, {NULL}};

static int prepare(PyObject *module) {
    mc_prepare();
    tx_prepare();
    return PyModule_AddStringConstant(module, "BACKEND", "compiled marching cubes");
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)prepare}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_kernel", "Marching cubes, compiled.", 0, methods, slots, NULL, NULL,
    NULL};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModuleDef_Init(&definition); }
