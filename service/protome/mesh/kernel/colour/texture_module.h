/* Python wrappers of this folder's files, for the table of methods in module.c. */

#ifndef PROTOME_TEXTURE_MODULE_H
#define PROTOME_TEXTURE_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Pixels are counted in 16.16; MOST_SHARE times MOST_PHOTO stays below 2^15. */
enum { MOST_SIDE = 4096, MOST_PHOTO = 4096, MOST_SHARE = 4, MOST_DEPTH = 1 << 20, MOST_GROWTH = 100 };

extern const char py_depth_doc[], py_normals_doc[], py_seen_doc[], py_trace_doc[];
extern const char py_trace_head_doc[], py_fade_doc[];
extern const char py_gather_doc[], py_plan_doc[], py_blend_doc[], py_lay_out_doc[];
extern const char py_outline_doc[], py_pixels_doc[], py_halve_doc[];
extern const char py_facing_doc[], py_disk_doc[], py_move_doc[];
PyObject *py_depth(PyObject *module, PyObject *args);
PyObject *py_normals(PyObject *module, PyObject *args);
PyObject *py_seen(PyObject *module, PyObject *args);
PyObject *py_trace(PyObject *module, PyObject *args);
PyObject *py_trace_head(PyObject *module, PyObject *args);
PyObject *py_fade(PyObject *module, PyObject *args);
PyObject *py_gather(PyObject *module, PyObject *args);
PyObject *py_plan(PyObject *module, PyObject *args);
PyObject *py_blend(PyObject *module, PyObject *args);
PyObject *py_lay_out(PyObject *module, PyObject *args);
PyObject *py_outline(PyObject *module, PyObject *args);
PyObject *py_pixels(PyObject *module, PyObject *args);
PyObject *py_halve(PyObject *module, PyObject *args);
PyObject *py_facing(PyObject *module, PyObject *args);
PyObject *py_disk(PyObject *module, PyObject *args);
PyObject *py_move(PyObject *module, PyObject *args);

/* Entries of the module's table of methods. */
#define TEXTURE_METHODS                                                                           \
    {"depth", py_depth, METH_VARARGS, py_depth_doc},                                              \
        {"normals", py_normals, METH_VARARGS, py_normals_doc},                                    \
        {"seen", py_seen, METH_VARARGS, py_seen_doc},                                             \
        {"trace", py_trace, METH_VARARGS, py_trace_doc},                                          \
        {"trace_head", py_trace_head, METH_VARARGS, py_trace_head_doc},                           \
        {"fade", py_fade, METH_VARARGS, py_fade_doc},                                             \
        {"gather", py_gather, METH_VARARGS, py_gather_doc},                                       \
        {"outline", py_outline, METH_VARARGS, py_outline_doc},                                    \
        {"pixels", py_pixels, METH_VARARGS, py_pixels_doc},                                       \
        {"halve", py_halve, METH_VARARGS, py_halve_doc},                                          \
        {"facing", py_facing, METH_VARARGS, py_facing_doc},                                       \
        {"disk", py_disk, METH_VARARGS, py_disk_doc},                                             \
        {"move", py_move, METH_VARARGS, py_move_doc},                                             \
        {"plan", py_plan, METH_VARARGS, py_plan_doc},                                             \
        {"blend", py_blend, METH_VARARGS, py_blend_doc}, {                                        \
        "lay_out", py_lay_out, METH_VARARGS, py_lay_out_doc                                       \
    }

#endif
