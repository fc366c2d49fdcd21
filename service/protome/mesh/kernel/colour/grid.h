/* Filters of square pictures of one channel, side x side. */

#ifndef PROTOME_GRID_H
#define PROTOME_GRID_H

#include <stddef.h>

/* Largest of the 3 x 3 cells around each, or least. ``room`` and ``out``: as large as ``in``. */
void gr_dilate(const float *in, size_t side, float *room, float *out);
void gr_erode(const float *in, size_t side, float *room, float *out);

/* Half of a symmetric kernel, from its middle. */
enum { GR_MOST_RADIUS = 24 };
typedef struct {
    size_t radius;
    float weights[GR_MOST_RADIUS + 1];
} gr_kernel;

/* Normal distribution of deviation ``sigma``, cells, as far as four of it. */
gr_kernel gr_gaussian(float sigma);

/* Filter rows ``begin`` to ``end`` along both axes; beyond the border the picture is mirrored at the
   middle of its last cell. side: at least 2, at most GR_MOST_SIDE. ``out`` may be ``in``. */
enum { GR_MOST_SIDE = 4096 };
void gr_blur_rows(const float *in, size_t side, size_t begin, size_t end, const gr_kernel *kernel,
                  float *room, float *out);

static inline void gr_blur(const float *in, size_t side, const gr_kernel *kernel, float *room,
                           float *out) {
    gr_blur_rows(in, side, 0, side, kernel, room, out);
}

/* Interpolate twice as many cells along each side; ``out``: 2 side x 2 side. */
void gr_enlarge(const float *in, size_t side, float *out);

/* Fill the empty cells of a picture from coarser ones: pull-push.

   sums: 4 pictures, the weighted sums of three channels, and the weight; out: the 3 channels.
   side: a power of two. room: 7 side x side / 3 or more. */
void gr_pull_push(const float *sums, size_t side, float *room, float *out);

#endif
