/* Make protome.mesh._kernel of the folders' functions (limited API, one build for 3.11 and later). */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "colour/texture_module.h"
#include "files/codec_module.h"
#include "shape/cases.h"
#include "shape/compose_module.h"

static PyMethodDef methods[] = {COMPOSE_METHODS, CODEC_METHODS, TEXTURE_METHODS, {NULL}};

static int prepare(PyObject *module) {
    mc_prepare();
    return PyModule_AddStringConstant(module, "BACKEND", "compiled marching cubes");
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)prepare}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_kernel", "Marching cubes, compiled.", 0, methods, slots, NULL, NULL,
    NULL};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModuleDef_Init(&definition); }
