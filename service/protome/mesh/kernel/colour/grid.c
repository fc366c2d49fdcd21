/* Filter, enlarge and fill square pictures of one channel. */

#include "grid.h"

#include <math.h>

#include "../wide.h"

static inline float pick(float a, float b, int larger) {
    return larger ? (a > b ? a : b) : (a < b ? a : b);
}

static inline void spread(const float *restrict in, size_t side, int larger, float *restrict room,
                          float *restrict out) {
    for (size_t y = 0; y < side; y++) {
        const float *row = in + side * y;
        float *to = room + side * y;
        for (size_t x = 1; x + 1 < side; x++)
            to[x] = pick(pick(row[x - 1], row[x + 1], larger), row[x], larger);
        to[0] = pick(row[0], row[side > 1], larger);
        to[side - 1] = pick(row[side - 1], row[side > 1 ? side - 2 : 0], larger);
    }
    for (size_t y = 0; y < side; y++) {
        const float *row = room + side * y;
        const float *above = y ? row - side : row, *below = y + 1 < side ? row + side : row;
        float *to = out + side * y;
        for (size_t x = 0; x < side; x++)
            to[x] = pick(pick(above[x], below[x], larger), row[x], larger);
    }
}

WIDE void gr_dilate(const float *in, size_t side, float *room, float *out) {
    spread(in, side, 1, room, out);
}

WIDE void gr_erode(const float *in, size_t side, float *room, float *out) {
    spread(in, side, 0, room, out);
}

gr_kernel gr_gaussian(float sigma) {
    gr_kernel kernel = {.radius = (size_t)(4 * sigma + 0.5F)};
    float sum = 0;
    if (kernel.radius > GR_MOST_RADIUS) kernel.radius = GR_MOST_RADIUS;
    for (size_t k = 0; k <= kernel.radius; k++) {
        const float at = (float)k / sigma;
        kernel.weights[k] = expf(-0.5F * at * at);
        sum += (k ? 2 : 1) * kernel.weights[k];
    }
    for (size_t k = 0; k <= kernel.radius; k++) kernel.weights[k] /= sum;
    return kernel;
}

/* The cell that a place beyond the border shows. */
static size_t mirrored(ptrdiff_t at, ptrdiff_t side) {
    while (at < 0 || at >= side) at = at < 0 ? -at : 2 * side - 2 - at;
    return (size_t)at;
}

/* Add two rows to another, weighted. */
static inline void add_rows(float *restrict out, const float *a, const float *b, float weight,
                            size_t count) {
    for (size_t x = 0; x < count; x++) out[x] += weight * (a[x] + b[x]);
}

static WIDE void blur_row(const float *restrict in, size_t side, const gr_kernel *kernel,
                          float *restrict out) {
    const size_t radius = kernel->radius;
    float padded[GR_MOST_SIDE + 2 * GR_MOST_RADIUS];
    for (size_t x = 0; x < radius; x++) {
        padded[x] = in[mirrored((ptrdiff_t)x - (ptrdiff_t)radius, (ptrdiff_t)side)];
        padded[radius + side + x] = in[mirrored((ptrdiff_t)(side + x), (ptrdiff_t)side)];
    }
    for (size_t x = 0; x < side; x++) {
        padded[radius + x] = in[x];
        out[x] = kernel->weights[0] * in[x];
    }
    for (size_t k = 1; k <= radius; k++)
        add_rows(out, padded + radius - k, padded + radius + k, kernel->weights[k], side);
}

WIDE void gr_blur_rows(const float *in, size_t side, size_t begin, size_t end,
                       const gr_kernel *kernel, float *room, float *out) {
    const size_t radius = kernel->radius;
    /* What is mirrored at the border lies within the radius as well. */
    const size_t first = begin > radius ? begin - radius : 0;
    const size_t last = end + radius < side ? end + radius : side;
    for (size_t y = first; y < last; y++) blur_row(in + side * y, side, kernel, room + side * y);
    for (size_t y = begin; y < end; y++) {
        float *to = out + side * y;
        for (size_t x = 0; x < side; x++) to[x] = kernel->weights[0] * room[side * y + x];
        for (size_t k = 1; k <= radius; k++) {
            const ptrdiff_t at = (ptrdiff_t)y, away = (ptrdiff_t)k, most = (ptrdiff_t)side;
            add_rows(to, room + side * mirrored(at - away, most),
                     room + side * mirrored(at + away, most), kernel->weights[k], side);
        }
    }
}

WIDE void gr_enlarge(const float *in, size_t side, float *out) {
    for (size_t y = 0; y < 2 * side; y++) {
        const float *row = in + side * (y / 2);
        const float *next = y % 2 ? (y / 2 + 1 < side ? row + side : row)
                                  : (y ? row - side : row);
        float *to = out + 2 * side * y;
        float before = 0.75F * row[0] + 0.25F * next[0], here = before;
        for (size_t x = 0; x < side; x++) {
            const size_t right = x + 1 < side ? x + 1 : x;
            const float after = 0.75F * row[right] + 0.25F * next[right];
            to[2 * x] = 0.75F * here + 0.25F * before;
            to[2 * x + 1] = 0.75F * here + 0.25F * after;
            before = here, here = after;
        }
    }
}

/* Sum of 2 x 2 cells. */
static void halve(const float *in, size_t side, float *out) {
    for (size_t y = 0; y < side; y += 2, in += 2 * side)
        for (size_t x = 0; x < side; x += 2)
            *out++ = (in[x] + in[x + side]) + (in[x + 1] + in[x + side + 1]);
}

/* Means where there is weight, in place of what coarser cells say. */
static WIDE void push(const float *restrict sums, const float *restrict weight, size_t count,
                      float *restrict out) {
    for (size_t k = 0; k < count; k++) {
        const float most = weight[k] < 1 ? weight[k] : 1;
        out[k] += most * (sums[k] / (weight[k] > 1e-4F ? weight[k] : 1e-4F) - out[k]);
    }
}

void gr_pull_push(const float *sums, size_t side, float *room, float *out) {
    const size_t count = side * side, half = side / 2, fewer = half * half;
    if (side == 1) {
        for (size_t i = 0; i < 3; i++) out[i] = sums[i] / (sums[3] > 1e-4F ? sums[3] : 1e-4F);
        return;
    }
    for (size_t i = 0; i < 4; i++) halve(sums + count * i, side, room + fewer * i);
    gr_pull_push(room, half, room + 7 * fewer, room + 4 * fewer);
    for (size_t i = 0; i < 3; i++) {
        gr_enlarge(room + fewer * (4 + i), half, out + count * i);
        push(sums + count * i, sums + 3 * count, count, out + count * i);
    }
}
