/* Python wrappers of this folder's files, for the table of methods in module.c. */

#ifndef PROTOME_CODEC_MODULE_H
#define PROTOME_CODEC_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern const char py_encode_rows_doc[], py_encode_triangles_doc[], py_octahedral_doc[],
    py_snap_doc[];
PyObject *py_encode_rows(PyObject *module, PyObject *args);
PyObject *py_encode_triangles(PyObject *module, PyObject *args);
PyObject *py_octahedral(PyObject *module, PyObject *args);
PyObject *py_snap(PyObject *module, PyObject *args);

/* Entries of the module's table of methods. */
#define CODEC_METHODS                                                                             \
    {"encode_rows", py_encode_rows, METH_VARARGS, py_encode_rows_doc},                            \
        {"encode_triangles", py_encode_triangles, METH_VARARGS, py_encode_triangles_doc},         \
        {"octahedral", py_octahedral, METH_VARARGS, py_octahedral_doc}, {                         \
        "snap", py_snap, METH_VARARGS, py_snap_doc                                                \
    }

#endif
