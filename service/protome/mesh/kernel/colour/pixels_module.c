/* Wrap pixels.c for Python (limited API): check, then work without the lock. */

#include "../arguments.h"
#include "texture.h"
#include "texture_module.h"

const char py_pixels_doc[] =
    "pixels(photo, /)\n--\n\n"
    "Make a number of each pixel, without the interpreter's lock.\n\n"
    "Args:\n"
    "    photo: (height, width, 3) uint8 RGB.\n\n"
    "Returns:\n"
    "    bytearray of uint32 (height, width); red is the lowest byte.\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape.\n";

PyObject *py_pixels(PyObject *module, PyObject *args) {
    PyObject *objects[1];
    (void)module;
    if (!PyArg_ParseTuple(args, "O:pixels", &objects[0])) return NULL;
    tx_argument a[1] = {{"photo", "B", {-1, 3}, 0, {0}}};
    if (!get_arguments(objects, a, 1)) return NULL;
    const size_t count = (size_t)a[0].view.shape[0] * (size_t)a[0].view.shape[1];
    PyObject *result = new_bytes(count * sizeof(uint32_t));
    if (result) {
        uint32_t *pixels = (void *)PyByteArray_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        tx_pixels(a[0].view.buf, count, pixels);
        Py_END_ALLOW_THREADS
    }
    release_arguments(a, 1);
    return result;
}

const char py_halve_doc[] =
    "halve(photo, /)\n--\n\n"
    "Average 2 x 2 pixels, without the interpreter's lock.\n\n"
    "Args:\n"
    "    photo: (height, width) uint32 as ``pixels`` returns it.\n\n"
    "Returns:\n"
    "    bytearray of uint32 (height / 2, width / 2), without an odd last row or column.\n\n"
    "Raises:\n"
    "    TypeError: wrong type.\n"
    "    ValueError: wrong shape.\n";

PyObject *py_halve(PyObject *module, PyObject *args) {
    PyObject *objects[1];
    (void)module;
    if (!PyArg_ParseTuple(args, "O:halve", &objects[0])) return NULL;
    tx_argument a[1] = {{"photo", "I", {-1, 0}, 0, {0}}};
    if (!get_arguments(objects, a, 1)) return NULL;
    const tx_photo photo = {a[0].view.buf, (size_t)a[0].view.shape[0],
                            (size_t)a[0].view.shape[1]};
    PyObject *result = new_bytes((photo.height / 2) * (photo.width / 2) * sizeof(uint32_t));
    if (result) {
        uint32_t *half = (void *)PyByteArray_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        tx_halve(&photo, half);
        Py_END_ALLOW_THREADS
    }
    release_arguments(a, 1);
    return result;
}
