#include "texture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Triangles longer than this share of the atlas bridge places far apart. */
static const float BRIDGE = 1.0F / 32;
/* Weights that count as inside of a triangle, so that neighbours leave no gap between them. */
static const float INSIDE = -1e-5F;
/* Weight of a node that is drawn but hardly seen. */
static const float LEAST = 1e-6F;
/* Cosine of the angle between normal and camera direction: below OBLIQUE the photo is not used,
   above FACING it is used alone. */
static const float OBLIQUE = 0.1F, FACING = 0.35F;
/* Depth tolerance of the visibility test, cells; what lies so much nearer within EDGE cells hides a
   point as well, because pixels at an outline mix both. */
static const float SLACK = 3, EDGE = 2;
/* Width of the strip along the outline that is not used, and of the next one, over which
   visibility rises to full, cells. */
static const float OUTLINE = 1.5F;
/* The same along the photo's border. */
static const float RIM = 2;

/* ---- triangles on a grid */

/* Visit the centres of a grid's cells in a triangle.

   Weights of the second and third corner: base + x dx + y dy at the centre of cell (x, y). */
typedef struct {
    int left, top, right, bottom; /* cells [left, right) x [top, bottom) */
    float base[2], dx[2], dy[2];
} tx_walk;

/* First cell whose centre is at ``value`` or after it, within 0 to ``limit``. */
static int from(float value, int limit) {
    const float at = value + 0.5F, most = (float)limit;
    const float low = at > 0 ? at : 0;
    return (int)(low < most ? low : most);
}

static float least(float a, float b, float c) {
    const float m = a < b ? a : b;
    return m < c ? m : c;
}

static float most(float a, float b, float c) { return -least(-a, -b, -c); }

/* Fails when no centre is near, or the triangle has no area. Corners: x and y in cells. */
static int set_walk(tx_walk *walk, const float *a, const float *b, const float *c, int side) {
    const float slack = 1e-4F;
    walk->left = from(least(a[0], b[0], c[0]) - slack, side);
    walk->right = from(most(a[0], b[0], c[0]) + slack, side);
    if (walk->left >= walk->right) return 0;
    walk->top = from(least(a[1], b[1], c[1]) - slack, side);
    walk->bottom = from(most(a[1], b[1], c[1]) + slack, side);
    if (walk->top >= walk->bottom) return 0;
    const float ux = b[0] - a[0], uy = b[1] - a[1], vx = c[0] - a[0], vy = c[1] - a[1];
    const float inverse = 1 / (ux * vy - vx * uy);
    if (!isfinite(inverse)) return 0;
    const float x = 0.5F - a[0], y = 0.5F - a[1];
    walk->dx[0] = vy * inverse;
    walk->dy[0] = -vx * inverse;
    walk->dx[1] = -uy * inverse;
    walk->dy[1] = ux * inverse;
    for (int k = 0; k < 2; k++) walk->base[k] = walk->dx[k] * x + walk->dy[k] * y;
    return 1;
}

static int weigh(const tx_walk *walk, int x, int y, float *second, float *third) {
    *second = walk->base[0] + walk->dx[0] * (float)x + walk->dy[0] * (float)y;
    *third = walk->base[1] + walk->dx[1] * (float)x + walk->dy[1] * (float)y;
    return (*second >= INSIDE) & (*third >= INSIDE) & (*second + *third <= 1 - INSIDE);
}

void tx_depth(const float *vertices, const int32_t *source, const uint32_t *triangles,
              size_t triangle_count, size_t side, float *depth) {
    for (size_t i = 0; i < 2 * side * side; i++) depth[i] = INFINITY;
    for (size_t t = 0; t < triangle_count; t++, triangles += 3) {
        const float *a = vertices + 3 * (size_t)triangles[0];
        const float *b = vertices + 3 * (size_t)triangles[1];
        const float *c = vertices + 3 * (size_t)triangles[2];
        tx_walk walk;
        /* What faces away is behind something that does not. */
        if ((b[0] - a[0]) * (c[1] - a[1]) > (c[0] - a[0]) * (b[1] - a[1])) continue;
        if (!set_walk(&walk, a, b, c, (int)side)) continue;
        const int hair = source[triangles[0]] < 0 || source[triangles[1]] < 0 ||
                         source[triangles[2]] < 0;
        float *map = depth + (hair ? side * side : 0);
        const float rise[2] = {b[2] - a[2], c[2] - a[2]};
        for (int y = walk.top; y < walk.bottom; y++) {
            float *out = map + side * (size_t)y + (size_t)walk.left;
            for (int x = walk.left; x < walk.right; x++, out++) {
                float second, third;
                const int within = weigh(&walk, x, y, &second, &third);
                const float z = a[2] + second * rise[0] + third * rise[1];
                *out = within & (z < *out) ? z : *out;
            }
        }
    }
}

/* ---- visibility */

static size_t cell_of(float value, size_t side) {
    return value > 0 ? (value < (float)side ? (size_t)value : side - 1) : 0;
}

/* Distance from the photo's border, negative outside. */
static float from_border(const tx_depths *depths, const float *at) {
    float out = INFINITY;
    const float *line = depths->sides;
    for (size_t k = 0; k < depths->side_count; k++, line += 3) {
        const float away = line[0] * at[0] + line[1] * at[1] + line[2];
        out = away < out ? away : out;
    }
    return out;
}

void tx_seen(const float *vertices, const float *normals, size_t count, const tx_depths *depths,
             float *seen) {
    for (size_t k = 0; k < count; k++, vertices += 3, normals += 3) {
        seen[k] = 0;
        const float facing = -normals[2];
        if (!(facing > OBLIQUE)) continue;
        const size_t at = depths->side * cell_of(vertices[1], depths->side) +
                          cell_of(vertices[0], depths->side);
        const float rim = depths->inside[at] / OUTLINE - 1;
        const float border = from_border(depths, vertices) / RIM - 1;
        if (!(rim > 0) || !(border > 0)) continue;
        /* A steep surface spans this much depth within a cell. */
        const float cosine = facing < 1 ? facing : 1;
        const float slope = sqrtf(1 - cosine * cosine) / cosine;
        if (vertices[2] - depths->nearest[at] > SLACK + 1.5F * slope) continue;
        if (vertices[2] - depths->around[at] > 3 * SLACK + (EDGE + 2) * slope) continue;
        const float turned = (facing - OBLIQUE) / (FACING - OBLIQUE);
        seen[k] = (turned < 1 ? turned : 1) * (rim < 1 ? rim : 1) *
                  (border < 1 ? border : 1);
    }
}

void tx_normals(const float *vertices, size_t count, const int32_t *triangles,
                size_t triangle_count, float *normals) {
    memset(normals, 0, 3 * count * sizeof *normals);
    for (size_t t = 0; t < triangle_count; t++, triangles += 3) {
        const float *a = vertices + 3 * (size_t)triangles[0];
        const float *b = vertices + 3 * (size_t)triangles[1];
        const float *c = vertices + 3 * (size_t)triangles[2];
        const float u[3] = {b[0] - a[0], b[1] - a[1], b[2] - a[2]};
        const float v[3] = {c[0] - a[0], c[1] - a[1], c[2] - a[2]};
        const float cross[3] = {u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2],
                                u[0] * v[1] - u[1] * v[0]};
        for (int k = 0; k < 3; k++) {
            float *out = normals + 3 * (size_t)triangles[k];
            for (int axis = 0; axis < 3; axis++) out[axis] += cross[axis];
        }
    }
    for (size_t k = 0; k < count; k++, normals += 3) {
        const float square =
            normals[0] * normals[0] + normals[1] * normals[1] + normals[2] * normals[2];
        const float scale = square > 0 ? 1 / sqrtf(square) : 0;
        for (int axis = 0; axis < 3; axis++) normals[axis] *= scale;
    }
}

/* ---- trace */

static int is_bridge(const float *a, const float *b, const float *c, float limit) {
    return most(a[0], b[0], c[0]) - least(a[0], b[0], c[0]) > limit ||
           most(a[1], b[1], c[1]) - least(a[1], b[1], c[1]) > limit;
}

/* Whether a triangle lies the other way round: an overhang, which others cover. */
static int is_folded(const float at[3][2]) {
    return (at[1][0] - at[0][0]) * (at[2][1] - at[0][1]) >
           (at[1][1] - at[0][1]) * (at[2][0] - at[0][0]);
}

static void trace_triangle(const tx_mesh *mesh, const uint32_t *corner, size_t nodes,
                           float *trace) {
    const float scale = (float)nodes;
    float at[3][2];
    for (size_t k = 0; k < 3; k++) {
        const float *place = mesh->places + 2 * (size_t)corner[k];
        at[k][0] = scale * place[0], at[k][1] = scale * place[1];
    }
    tx_walk walk;
    if (!set_walk(&walk, at[0], at[1], at[2], (int)nodes)) return;
    const int below = is_bridge(at[0], at[1], at[2], BRIDGE * scale) || is_folded(at);
    const float *a = mesh->spots + 2 * (size_t)corner[0], *b = mesh->spots + 2 * (size_t)corner[1];
    const float *c = mesh->spots + 2 * (size_t)corner[2], *w = mesh->weights;
    for (int y = walk.top; y < walk.bottom; y++) {
        float *out = trace + 3 * (nodes * (size_t)y + (size_t)walk.left);
        for (int x = walk.left; x < walk.right; x++, out += 3) {
            float second, third;
            if ((below && out[2] > 0) || !weigh(&walk, x, y, &second, &third)) continue;
            const float first = 1 - second - third;
            out[0] = first * a[0] + second * b[0] + third * c[0];
            out[1] = first * a[1] + second * b[1] + third * c[1];
            const float weight = first * w[corner[0]] + second * w[corner[1]] + third * w[corner[2]];
            out[2] = weight > LEAST ? weight : LEAST;
        }
    }
}

/* Give nodes beside the trace the points that follow from the two next to them, with no weight:
   what lies between two nodes is interpolated. */
static void extend(size_t nodes, float *trace) {
    const ptrdiff_t row = 3 * (ptrdiff_t)nodes;
    const ptrdiff_t steps[8] = {3, -3, row, -row, row + 3, row - 3, 3 - row, -row - 3};
    for (size_t y = 2; y + 2 < nodes; y++) {
        float *node = trace + 3 * (nodes * y + 2);
        for (size_t x = 2; x + 2 < nodes; x++, node += 3) {
            if (node[2] > 0) continue;
            float sum[2] = {0, 0}, count = 0;
            for (int k = 0; k < 8; k++) {
                const float *near = node + steps[k], *next = near + steps[k];
                if (!(near[2] > 0)) continue;
                const float more = next[2] > 0 ? 1 : 0;
                sum[0] += near[0] + more * (near[0] - next[0]);
                sum[1] += near[1] + more * (near[1] - next[1]);
                count++;
            }
            if (count > 0) node[0] = sum[0] / count, node[1] = sum[1] / count;
        }
    }
}

void tx_trace(const tx_mesh *mesh, size_t nodes, float *trace) {
    memset(trace, 0, 3 * nodes * nodes * sizeof *trace);
    const float *w = mesh->weights;
    const uint32_t *corner = mesh->triangles;
    for (size_t t = 0; t < mesh->triangle_count; t++, corner += 3)
        if (w[corner[0]] > 0 || w[corner[1]] > 0 || w[corner[2]] > 0)
            trace_triangle(mesh, corner, nodes, trace);
    extend(nodes, trace);
}

void tx_trace_head(const tx_nodes *table, const float *spots, const float *weights, float *trace) {
    const int32_t *corner = table->corners;
    const float *share = table->shares;
    for (size_t k = 0; k < table->count; k++, corner += 3, share += 2, trace += 3) {
        const float first = 1 - share[0] - share[1];
        const float *a = spots + 2 * (size_t)corner[0], *b = spots + 2 * (size_t)corner[1];
        const float *c = spots + 2 * (size_t)corner[2];
        trace[0] = first * a[0] + share[0] * b[0] + share[1] * c[0];
        trace[1] = first * a[1] + share[0] * b[1] + share[1] * c[1];
        const float weight = first * weights[corner[0]] + share[0] * weights[corner[1]] +
                             share[1] * weights[corner[2]];
        trace[2] = weight > 0 ? weight : 0;
    }
}
