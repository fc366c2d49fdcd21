/* Python wrappers of texture.c, for the table of methods in module.c. */

#ifndef PROTOME_TEXTURE_MODULE_H
#define PROTOME_TEXTURE_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern const char py_depth_doc[], py_trace_doc[], py_blend_doc[];
PyObject *py_depth(PyObject *module, PyObject *args);
PyObject *py_trace(PyObject *module, PyObject *args);
PyObject *py_blend(PyObject *module, PyObject *args);

/* Entries of the module's table of methods. */
#define TEXTURE_METHODS                                                                           \
    {"depth", py_depth, METH_VARARGS, py_depth_doc},                                              \
        {"trace", py_trace, METH_VARARGS, py_trace_doc}, {                                        \
        "blend", py_blend, METH_VARARGS, py_blend_doc                                             \
    }

#endif
