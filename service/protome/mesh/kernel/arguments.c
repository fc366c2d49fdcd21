/* Check arguments of Python functions. */

#include "arguments.h"

#include "wide.h"

#include <string.h>

static int get_argument(PyObject *object, tx_argument *want) {
    Py_buffer *view = &want->view;
    const int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (want->written ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object, view, flags) < 0) {
        if (PyErr_ExceptionMatches(PyExc_BufferError)) {
            PyErr_Clear();
            PyErr_Format(PyExc_ValueError,
                         want->written ? "%s must be C-contiguous and writable"
                                       : "%s must be C-contiguous",
                         want->name);
        }
        return 0;
    }
    const int axes = 1 + (want->columns[0] != 0) + (want->columns[1] != 0);
    int fits = view->ndim == axes;
    for (int k = 1; fits && k < axes; k++)
        fits = want->columns[k - 1] < 0 || view->shape[k] == want->columns[k - 1];
    if (!view->format || strcmp(view->format, want->format) != 0)
        PyErr_Format(PyExc_TypeError, "%s has the wrong type", want->name);
    else if (!fits) PyErr_Format(PyExc_ValueError, "%s has the wrong shape", want->name);
    else return 1;
    PyBuffer_Release(view);
    return 0;
}

void release_arguments(tx_argument *arguments, size_t count) {
    while (count) PyBuffer_Release(&arguments[--count].view);
}

int get_arguments(PyObject *const *objects, tx_argument *arguments, size_t count) {
    for (size_t k = 0; k < count; k++) {
        if (get_argument(objects[k], &arguments[k])) continue;
        release_arguments(arguments, k);
        return 0;
    }
    return 1;
}

PyObject *refuse(tx_argument *arguments, size_t count, const char *message) {
    release_arguments(arguments, count);
    PyErr_SetString(PyExc_ValueError, message);
    return NULL;
}

WIDE int are_below(const tx_argument *array, Py_ssize_t count) {
    const uint32_t *numbers = array->view.buf, bound = (uint32_t)count;
    const Py_ssize_t values = array->view.len / (Py_ssize_t)sizeof *numbers;
    uint32_t outside = 0;
    if (count > INT32_MAX) return 0;
    for (Py_ssize_t k = 0; k < values; k++) outside |= numbers[k] >= bound;
    return !outside;
}

WIDE int are_within(const tx_argument *values, float most) {
    const float *at = values->view.buf;
    const Py_ssize_t count = values->view.len / (Py_ssize_t)sizeof *at;
    int32_t bound, outside = 0;
    memcpy(&bound, &most, sizeof bound);
    for (Py_ssize_t k = 0; k < count; k++) {
        /* Without their signs, numbers are in the order of their bits, and NaN is the last. */
        int32_t bits;
        memcpy(&bits, at + k, sizeof bits);
        outside |= (bits & INT32_MAX) > bound;
    }
    return !outside;
}

PyObject *new_bytes(size_t count) {
    return PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)count);
}

PyObject *finish(tx_argument *arguments, size_t count, PyObject *result, int done) {
    release_arguments(arguments, count);
    if (result && !done) {
        Py_CLEAR(result);
        PyErr_NoMemory();
    }
    return result;
}
