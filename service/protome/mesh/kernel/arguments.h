/* Check arguments of Python functions: what the wrappers of colour and files share. */

#ifndef PROTOME_ARGUMENTS_H
#define PROTOME_ARGUMENTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

typedef struct {
    const char *name;
    const char *format; /* of the struct module: "f", "i", "I" or "B" */
    Py_ssize_t columns[2]; /* of the second and third axis; 0: no such axis, -1: any */
    int written;           /* whether it is changed in place */
    Py_buffer view;
} tx_argument;

/* Get the buffers of C-contiguous arrays. Returns 0 with an exception set, and holds none then. */
int get_arguments(PyObject *const *objects, tx_argument *arguments, size_t count);

void release_arguments(tx_argument *arguments, size_t count);

/* Release the arguments and set a ValueError. Returns NULL. */
PyObject *refuse(tx_argument *arguments, size_t count, const char *message);

/* Whether all of an array's numbers of vertices are below ``count``. */
int are_below(const tx_argument *array, Py_ssize_t count);

/* Whether all numbers are between -most and most; NaN is not. */
int are_within(const tx_argument *values, float most);

PyObject *new_bytes(size_t count);

/* Release the arguments; return the result, or NULL with an exception if it is NULL or there was no
 * memory to fill it (``done`` is 0). */
PyObject *finish(tx_argument *arguments, size_t count, PyObject *result, int done);

#endif
