/* Python wrapper of compose.c, for the table of methods in module.c. */

#ifndef PROTOME_COMPOSE_MODULE_H
#define PROTOME_COMPOSE_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern const char py_compose_doc[];
PyObject *py_compose(PyObject *module, PyObject *args);

/* Entry of the module's table of methods. */
#define COMPOSE_METHODS {"compose", py_compose, METH_VARARGS, py_compose_doc}

#endif
