#include "texture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

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

static int weigh(const tx_walk *walk, int x, int y, float *second, float *third) {
    *second = walk->base[0] + walk->dx[0] * (float)x + walk->dy[0] * (float)y;
    *third = walk->base[1] + walk->dx[1] * (float)x + walk->dy[1] * (float)y;
    return (*second >= INSIDE) & (*third >= INSIDE) & (*second + *third <= 1 - INSIDE);
}

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

static float clipped(float value, float low, float high) {
    return value < low ? low : value > high ? high : value;
}

/* Whether a depth is within a tolerance and ``steps`` cells of a surface: one that is turned by
   ``cosine`` spans sqrt(1 - cosine^2) / cosine within a cell. */
static int is_near(float depth, float tolerance, float steps, float cosine) {
    const float beyond = depth - tolerance, scaled = beyond * cosine;
    return beyond <= 0 || scaled * scaled <= steps * steps * (1 - cosine * cosine);
}

static float weight_at(const float *at, float facing, const tx_depths *depths) {
    if (!(facing > OBLIQUE)) return 0;
    const size_t cell =
        depths->side * cell_of(at[1], depths->side) + cell_of(at[0], depths->side);
    const float rim = depths->inside[cell] / OUTLINE - 1;
    const float border = from_border(depths, at) / RIM - 1;
    if (!(rim > 0) || !(border > 0)) return 0;
    const float head = depths->head[cell], hair = depths->hair[cell];
    const float nearest = head < hair ? head : hair, cosine = facing < 1 ? facing : 1;
    if ((depths->bare && hair < head) || !is_near(at[2] - nearest, SLACK, 1.5F, cosine) ||
        !is_near(at[2] - depths->around[cell], 3 * SLACK, EDGE + 2, cosine))
        return 0;
    const float turned = (facing - OBLIQUE) / (FACING - OBLIQUE);
    return (turned < 1 ? turned : 1) * (rim < 1 ? rim : 1) * (border < 1 ? border : 1);
}

void tx_seen(const float *vertices, const float *normals, const uint32_t *which, size_t count,
             const tx_depths *depths, float *seen) {
    const float share = 1 / (float)depths->side;
    for (size_t k = 0; k < count; k++, seen += 3) {
        const float *at = vertices + 3 * (size_t)which[k];
        seen[0] = clipped(share * at[0], -1, 2);
        seen[1] = clipped(share * at[1], -1, 2);
        seen[2] = weight_at(at, -normals[3 * (size_t)which[k] + 2], depths);
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

/* Whether a triangle lies the other way round. */
static int is_overhang(const tx_four at[3]) {
    const tx_four p = at[1] - at[0], q = at[2] - at[0];
    return p[0] * q[1] > p[1] * q[0];
}

/* Draw what the corners show; what is ``below`` only where nothing is. */
static void draw_trace(const tx_walk *walk, const float *a, const float *b, const float *c,
                       int below, size_t nodes, float *trace) {
    for (int y = walk->top; y < walk->bottom; y++) {
        float *out = trace + 3 * (nodes * (size_t)y + (size_t)walk->left);
        for (int x = walk->left; x < walk->right; x++, out += 3) {
            float second, third;
            if ((below && out[2] > 0) || !weigh(walk, x, y, &second, &third)) continue;
            const float first = 1 - second - third;
            for (int i = 0; i < 3; i++) out[i] = first * a[i] + second * b[i] + third * c[i];
            out[2] = out[2] > LEAST ? out[2] : LEAST;
        }
    }
}

/* Give nodes beside the trace the points that follow from the two next to them, with no weight:
   what lies between two nodes is interpolated. */
static void extend(size_t nodes, size_t top, size_t bottom, float *trace) {
    const ptrdiff_t row = 3 * (ptrdiff_t)nodes;
    const ptrdiff_t steps[8] = {3, -3, row, -row, row + 3, row - 3, 3 - row, -row - 3};
    for (size_t y = top > 2 ? top - 1 : 2; y <= bottom && y + 2 < nodes; y++) {
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
    const float scale = (float)nodes;
    const uint32_t *place = mesh->triangles;
    size_t top = nodes, bottom = 0; /* of what is drawn */
    memset(trace, 0, 3 * nodes * nodes * sizeof *trace);
    for (size_t t = 0; t < mesh->triangle_count; t++, place += 3) {
        if ((place[0] < mesh->first) | (place[1] < mesh->first) | (place[2] < mesh->first))
            continue;
        const float *seen[3];
        for (int k = 0; k < 3; k++) seen[k] = mesh->seen + 3 * (size_t)(place[k] - mesh->first);
        if (!((seen[0][2] > 0) | (seen[1][2] > 0) | (seen[2][2] > 0))) continue;
        tx_four at[3];
        for (int k = 0; k < 3; k++) {
            const float *spot = mesh->places + 2 * (size_t)place[k];
            at[k] = (tx_four){scale * spot[0], scale * spot[1], 0, 0};
        }
        tx_walk walk;
        if (!set_walk(&walk, at[0], at[1], at[2], (int)nodes)) continue;
        const tx_four size = upper(upper(at[0], at[1]), at[2]) - lower(lower(at[0], at[1]), at[2]);
        const int below = (size[0] > BRIDGE * scale) | (size[1] > BRIDGE * scale) |
                          is_overhang(at);
        top = (size_t)walk.top < top ? (size_t)walk.top : top;
        bottom = (size_t)walk.bottom > bottom ? (size_t)walk.bottom : bottom;
        draw_trace(&walk, seen[0], seen[1], seen[2], below, nodes, trace);
    }
    extend(nodes, top, bottom, trace);
}

int tx_trace_head(const tx_nodes *table, const float *seen, size_t count, float *trace) {
    tx_four *padded = malloc((count + 1) * sizeof *padded);
    if (!padded) return 0;
    for (size_t k = 0; k < count; k++)
        padded[k] = (tx_four){seen[3 * k], seen[3 * k + 1], seen[3 * k + 2], 0};
    const int32_t *corner = table->corners;
    const float *share = table->shares;
    for (size_t k = 0; k < table->count; k++, corner += 3, share += 2, trace += 3) {
        const tx_four first = all(1 - share[0] - share[1]);
        const tx_four shown = first * padded[corner[0]] + all(share[0]) * padded[corner[1]] +
                              all(share[1]) * padded[corner[2]];
        trace[0] = shown[0], trace[1] = shown[1];
        trace[2] = shown[2] > 0 ? shown[2] : 0;
    }
    free(padded);
    return 1;
}
