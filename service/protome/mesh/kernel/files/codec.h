/* The codecs of EXT_meshopt_compression, version 0 of attributes and 1 of triangles (appendix of the
   extension's specification, Khronos). Without Python; codec_module.c checks all sizes and numbers.

   The bytes are those of the package meshopt, which reads them in tests and writes them where there
   is no compiler. */

#ifndef PROTOME_CODEC_H
#define PROTOME_CODEC_H

#include <stddef.h>
#include <stdint.h>

/* Most bytes of encoded rows of the stride, a multiple of 4 up to 256. */
size_t mo_rows_bound(size_t count, size_t stride);

/* Encode the rows order[0], order[1], ...: of ``width`` bytes each, filled up with zeros to
   ``stride``. Returns the number of bytes written. */
size_t mo_encode_rows(const uint8_t *rows, size_t width, size_t stride, const uint32_t *order,
                      size_t count, uint8_t *out);

/* Most bytes of encoded triangles. */
size_t mo_triangles_bound(size_t count);

/* Encode triangles, (count, 3), whose vertices get numbers in the order of their first use.
   ``order`` gets the vertices in that order, ``*used`` their number. Returns the number of bytes
   written, 0 without memory. */
size_t mo_encode_triangles(const uint32_t *triangles, size_t count, size_t vertex_count,
                           uint32_t *order, size_t *used, uint8_t *out);

/* Round positions, (count, 3), to the points of a grid, 0 to 65535 steps from ``low``. Returns how
   many different points there are, 0 without memory. */
size_t mo_snap(const float *positions, size_t count, const double low[3], double step,
               uint16_t *points);

/* Convert unit vectors, (count, 3), to the octahedral filter's four signed bytes each. */
void mo_octahedral(const float *normals, size_t count, int8_t *out);

#endif
