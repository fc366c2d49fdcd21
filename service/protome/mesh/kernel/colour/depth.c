/* Draw the depth of a mesh that faces the camera, of head and of hair. */

#include <math.h>
#include <stdlib.h>

#include "texture.h"
#include "walk.h"

/* Vertices as the loops below read them: with -1 for hair in the last place, or 0. */
static void pad(const float *vertices, const int32_t *source, size_t count, tx_four *padded) {
    for (size_t k = 0; k < count; k++, vertices += 3)
        padded[k] = (tx_four){vertices[0], vertices[1], vertices[2], source[k] < 0 ? -1 : 0};
}

/* List the triangles that face the camera: what faces away is behind something that does not. */
static size_t list_facing(const tx_four *vertices, const uint32_t *triangles,
                          size_t triangle_count, uint32_t *facing) {
    size_t found = 0;
    for (size_t t = 0; t < triangle_count; t++, triangles += 3) {
        const float *a = (const float *)(vertices + triangles[0]);
        const float *b = (const float *)(vertices + triangles[1]);
        const float *c = (const float *)(vertices + triangles[2]);
        facing[found] = (uint32_t)t;
        found += (b[0] - a[0]) * (c[1] - a[1]) <= (c[0] - a[0]) * (b[1] - a[1]);
    }
    return found;
}

/* Draw on 2 x 2 cells, as many as most triangles reach, without a branch. */
static inline void draw_four(const tx_walk *walk, const float z[3], size_t side, float *map) {
    const float left = (float)walk->left, top = (float)walk->top;
    const tx_four x = {left, left + 1, left, left + 1}, y = {top, top, top + 1, top + 1};
    const tx_four second = all(walk->base[0]) + all(walk->dx[0]) * x + all(walk->dy[0]) * y;
    const tx_four third = all(walk->base[1]) + all(walk->dx[1]) * x + all(walk->dy[1]) * y;
    const tx_four at = all(z[0]) + second * all(z[1] - z[0]) + third * all(z[2] - z[0]);
    const tx_mask inside = (second >= all(INSIDE)) & (third >= all(INSIDE)) &
                           (second + third <= all(1 - INSIDE));
    const tx_four drawn = chosen(inside, at, all(INFINITY));
    float *out = map + side * (size_t)walk->top + (size_t)walk->left;
    out[0] = drawn[0] < out[0] ? drawn[0] : out[0];
    out[1] = drawn[1] < out[1] ? drawn[1] : out[1];
    out[side] = drawn[2] < out[side] ? drawn[2] : out[side];
    out[side + 1] = drawn[3] < out[side + 1] ? drawn[3] : out[side + 1];
}

static void draw_depth(const tx_walk *walk, const float z[3], size_t side, float *map) {
    const int low = (int)side - 1;
    if ((walk->right - walk->left <= 2) & (walk->bottom - walk->top <= 2) & (walk->left < low) &
        (walk->top < low)) {
        draw_four(walk, z, side, map);
        return;
    }
    const float rise[2] = {z[1] - z[0], z[2] - z[0]};
    for (int y = walk->top; y < walk->bottom; y++) {
        float *out = map + side * (size_t)y + (size_t)walk->left;
        for (int x = walk->left; x < walk->right; x++, out++) {
            float second, third;
            const int inside = weigh(walk, x, y, &second, &third);
            const float at = z[0] + second * rise[0] + third * rise[1];
            *out = inside & (at < *out) ? at : *out;
        }
    }
}

int tx_depth(const float *vertices, const int32_t *source, size_t count,
             const uint32_t *triangles, size_t triangle_count, size_t side, float *depth) {
    tx_four *padded = malloc((count + 1) * sizeof *padded);
    uint32_t *facing = malloc((triangle_count + 1) * sizeof *facing);
    if (!padded || !facing) return free(padded), free(facing), 0;
    pad(vertices, source, count, padded);
    const size_t found = list_facing(padded, triangles, triangle_count, facing);
    for (size_t i = 0; i < 2 * side * side; i++) depth[i] = INFINITY;
    for (size_t k = 0; k < found; k++) {
        const uint32_t *corner = triangles + 3 * (size_t)facing[k];
        const tx_four a = padded[corner[0]], b = padded[corner[1]], c = padded[corner[2]];
        tx_walk walk;
        if (!set_walk(&walk, a, b, c, (int)side)) continue;
        const int hair = (a[3] < 0) | (b[3] < 0) | (c[3] < 0);
        const float z[3] = {a[2], b[2], c[2]};
        draw_depth(&walk, z, side, depth + (hair ? side * side : 0));
    }
    free(padded);
    free(facing);
    return 1;
}
