#include "texture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "wide.h"

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

/* Distance from a centre at which a triangle is taken to reach it, cells. */
static const float REACH = 1e-4F;

/* Fails when the triangle has no area. Corners: x and y in cells. */
static int set_slopes(tx_walk *walk, const float *a, const float *b, const float *c) {
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

/* Fails when no centre is near, or the triangle has no area. */
static int set_walk(tx_walk *walk, const float *a, const float *b, const float *c, int side) {
    walk->left = from(least(a[0], b[0], c[0]) - REACH, side);
    walk->right = from(most(a[0], b[0], c[0]) + REACH, side);
    if (walk->left >= walk->right) return 0;
    walk->top = from(least(a[1], b[1], c[1]) - REACH, side);
    walk->bottom = from(most(a[1], b[1], c[1]) + REACH, side);
    return walk->top < walk->bottom && set_slopes(walk, a, b, c);
}

static int weigh(const tx_walk *walk, int x, int y, float *second, float *third) {
    *second = walk->base[0] + walk->dx[0] * (float)x + walk->dy[0] * (float)y;
    *third = walk->base[1] + walk->dx[1] * (float)x + walk->dy[1] * (float)y;
    return (*second >= INSIDE) & (*third >= INSIDE) & (*second + *third <= 1 - INSIDE);
}

/* The first centres after each vertex: left, top, right, bottom of what a point there reaches. */
static WIDE void set_reach(const float *vertices, size_t count, int side, int16_t *reach) {
    for (size_t k = 0; k < count; k++) {
        const float x = vertices[3 * k], y = vertices[3 * k + 1];
        reach[4 * k] = (int16_t)from(x - REACH, side);
        reach[4 * k + 1] = (int16_t)from(y - REACH, side);
        reach[4 * k + 2] = (int16_t)from(x + REACH, side);
        reach[4 * k + 3] = (int16_t)from(y + REACH, side);
    }
}

static inline int lower(int a, int b) { return a < b ? a : b; }
static inline int higher(int a, int b) { return a > b ? a : b; }

static void draw_depth(const tx_walk *walk, const float z[3], size_t side, float *map) {
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
    int16_t *reach = malloc((4 * count + 1) * sizeof *reach);
    if (!reach) return 0;
    set_reach(vertices, count, (int)side, reach);
    for (size_t i = 0; i < 2 * side * side; i++) depth[i] = INFINITY;
    for (size_t t = 0; t < triangle_count; t++, triangles += 3) {
        const size_t p = triangles[0], q = triangles[1], r = triangles[2];
        const float *a = vertices + 3 * p, *b = vertices + 3 * q, *c = vertices + 3 * r;
        const int16_t *i = reach + 4 * p, *j = reach + 4 * q, *k = reach + 4 * r;
        tx_walk walk;
        walk.left = lower(lower(i[0], j[0]), k[0]), walk.top = lower(lower(i[1], j[1]), k[1]);
        walk.right = higher(higher(i[2], j[2]), k[2]);
        walk.bottom = higher(higher(i[3], j[3]), k[3]);
        /* What faces away is behind something that does not. */
        const int away = (b[0] - a[0]) * (c[1] - a[1]) > (c[0] - a[0]) * (b[1] - a[1]);
        if (away | (walk.left >= walk.right) | (walk.top >= walk.bottom)) continue;
        if (!set_slopes(&walk, a, b, c)) continue;
        const int hair = (source[p] < 0) | (source[q] < 0) | (source[r] < 0);
        const float z[3] = {a[2], b[2], c[2]};
        draw_depth(&walk, z, side, depth + (hair ? side * side : 0));
    }
    free(reach);
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

static float seen_at(const float *at, const float *normal, const tx_depths *depths) {
    const float facing = -normal[2];
    if (!(facing > OBLIQUE)) return 0;
    const size_t cell =
        depths->side * cell_of(at[1], depths->side) + cell_of(at[0], depths->side);
    const float rim = depths->inside[cell] / OUTLINE - 1;
    const float border = from_border(depths, at) / RIM - 1;
    if (!(rim > 0) || !(border > 0)) return 0;
    /* A steep surface spans this much depth within a cell. */
    const float cosine = facing < 1 ? facing : 1;
    const float slope = sqrtf(1 - cosine * cosine) / cosine;
    const float head = depths->head[cell], hair = depths->hair[cell];
    if (depths->bare && hair < head) return 0;
    const float nearest = depths->bare || head < hair ? head : hair;
    if (at[2] - nearest > SLACK + 1.5F * slope) return 0;
    if (at[2] - depths->around[cell] > 3 * SLACK + (EDGE + 2) * slope) return 0;
    const float turned = (facing - OBLIQUE) / (FACING - OBLIQUE);
    return (turned < 1 ? turned : 1) * (rim < 1 ? rim : 1) * (border < 1 ? border : 1);
}

void tx_seen(const float *vertices, const float *normals, size_t count, const tx_depths *depths,
             float *seen) {
    const float share = 1 / (float)depths->side;
    for (size_t k = 0; k < count; k++, vertices += 3, normals += 3, seen += 3) {
        seen[0] = clipped(share * vertices[0], -1, 2);
        seen[1] = clipped(share * vertices[1], -1, 2);
        seen[2] = seen_at(vertices, normals, depths);
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

/* Draw what the corners show; a bridge below what is there. */
static void draw_trace(const tx_walk *walk, const float *a, const float *b, const float *c,
                       int bridge, size_t nodes, float *trace) {
    for (int y = walk->top; y < walk->bottom; y++) {
        float *out = trace + 3 * (nodes * (size_t)y + (size_t)walk->left);
        for (int x = walk->left; x < walk->right; x++, out += 3) {
            float second, third;
            if ((bridge && out[2] > 0) || !weigh(walk, x, y, &second, &third)) continue;
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
    const uint32_t *place = mesh->triangles, *corner = mesh->corners;
    size_t top = nodes, bottom = 0; /* of what is drawn */
    memset(trace, 0, 3 * nodes * nodes * sizeof *trace);
    for (size_t t = 0; t < mesh->triangle_count; t++, place += 3, corner += 3) {
        if (place[0] < mesh->first) continue;
        const float *const seen[3] = {mesh->seen + 3 * (size_t)corner[0],
                                      mesh->seen + 3 * (size_t)corner[1],
                                      mesh->seen + 3 * (size_t)corner[2]};
        if (!(seen[0][2] > 0) && !(seen[1][2] > 0) && !(seen[2][2] > 0)) continue;
        float at[3][2];
        for (int k = 0; k < 3; k++)
            for (size_t i = 0; i < 2; i++) at[k][i] = scale * mesh->places[2 * place[k] + i];
        tx_walk walk;
        if (!set_walk(&walk, at[0], at[1], at[2], (int)nodes)) continue;
        top = (size_t)walk.top < top ? (size_t)walk.top : top;
        bottom = (size_t)walk.bottom > bottom ? (size_t)walk.bottom : bottom;
        draw_trace(&walk, seen[0], seen[1], seen[2],
                   is_bridge(at[0], at[1], at[2], BRIDGE * scale), nodes, trace);
    }
    extend(nodes, top, bottom, trace);
}

WIDE void tx_trace_head(const tx_nodes *table, const float *seen, float *trace) {
    const int32_t *corner = table->corners;
    const float *share = table->shares;
    for (size_t k = 0; k < table->count; k++, corner += 3, share += 2, trace += 3) {
        const float first = 1 - share[0] - share[1];
        const float *a = seen + 3 * (size_t)corner[0], *b = seen + 3 * (size_t)corner[1];
        const float *c = seen + 3 * (size_t)corner[2];
        for (int i = 0; i < 3; i++) trace[i] = first * a[i] + share[0] * b[i] + share[1] * c[i];
        trace[2] = trace[2] > 0 ? trace[2] : 0;
    }
}
