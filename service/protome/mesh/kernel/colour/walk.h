/* Visit the cells of a grid that lie in a triangle: what depth.c and trace.c share. */

#ifndef PROTOME_WALK_H
#define PROTOME_WALK_H

#include <math.h>
#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Weights that count as inside of a triangle, so that neighbours leave no gap between them. */
static const float INSIDE = -1e-5F;

/* The cells to visit. Weights of the second and third corner: base + x dx + y dy at the centre of
   cell (x, y). */
typedef struct {
    int left, top, right, bottom; /* cells [left, right) x [top, bottom) */
    float base[2], dx[2], dy[2];
} tx_walk;

typedef float tx_four __attribute__((vector_size(16)));
typedef int32_t tx_mask __attribute__((vector_size(16)));

static inline tx_four all(float value) { return (tx_four){value, value, value, value}; }

static inline tx_four chosen(tx_mask mask, tx_four a, tx_four b) {
    return (tx_four)((mask & (tx_mask)a) | (~mask & (tx_mask)b));
}

#ifdef __SSE2__
/* One instruction, which compilers do not find in the general form. */
static inline tx_four lower(tx_four a, tx_four b) { return _mm_min_ps(a, b); }
static inline tx_four upper(tx_four a, tx_four b) { return _mm_max_ps(a, b); }
#else
static inline tx_four lower(tx_four a, tx_four b) { return chosen(a < b, a, b); }
static inline tx_four upper(tx_four a, tx_four b) { return chosen(a > b, a, b); }
#endif

/* First cells whose centres are at values or after them, within 0 to ``limit``. */
static inline tx_mask from(tx_four values, int limit) {
    const tx_four at = upper(values + all(0.5F), all(0));
    return __builtin_convertvector(lower(at, all((float)limit)), tx_mask);
}

/* Distance from a centre at which a triangle is taken to reach it, cells. */
static const float REACH = 1e-4F;

/* Fails when no centre is near, or the triangle has no area. Corners: x and y in cells. */
static inline int set_walk(tx_walk *walk, tx_four a, tx_four b, tx_four c, int side) {
    const tx_mask first = from(lower(lower(a, b), c) - all(REACH), side);
    const tx_mask end = from(upper(upper(a, b), c) + all(REACH), side);
    walk->left = first[0], walk->top = first[1], walk->right = end[0], walk->bottom = end[1];
    if ((walk->left >= walk->right) | (walk->top >= walk->bottom)) return 0;
    const tx_four u = b - a, v = c - a, to = all(0.5F) - a;
    const float inverse = 1 / (u[0] * v[1] - v[0] * u[1]);
    if (!isfinite(inverse)) return 0;
    walk->dx[0] = v[1] * inverse;
    walk->dy[0] = -v[0] * inverse;
    walk->dx[1] = -u[1] * inverse;
    walk->dy[1] = u[0] * inverse;
    for (int k = 0; k < 2; k++) walk->base[k] = walk->dx[k] * to[0] + walk->dy[k] * to[1];
    return 1;
}

static inline int weigh(const tx_walk *walk, int x, int y, float *second, float *third) {
    *second = walk->base[0] + walk->dx[0] * (float)x + walk->dy[0] * (float)y;
    *third = walk->base[1] + walk->dx[1] * (float)x + walk->dy[1] * (float)y;
    return (*second >= INSIDE) & (*third >= INSIDE) & (*second + *third <= 1 - INSIDE);
}

#endif
