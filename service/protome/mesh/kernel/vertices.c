/* Vertices are placed in groups, and all of a group go through one step before the next: what the
 * next vertex needs cannot be predicted, so that lists of those that need the same are made.
 */

#include "vertices.h"

#include <math.h>

/* Least distance of a vertex from the ends of its edge, as a share of the edge: closer ones would
 * make triangles without area. */
static const float CLEAR = 0.01F;
enum { GROUP = 128 };

/* ---- on the head */

/* Give the vertices of edges that leave the head the hit farthest out, of equal ones that of the
 * last triangle; places[3] is where on the edge. */
static void take_hits(const pm_cubes *c, int axis) {
    const size_t stride = axis ? c->next[axis] * LANES : 1;
    const uint64_t *in_head = c->scan->bits;
    const pm_hit *hits = c->scan->hits[axis], *taken[GROUP];
    const size_t count = c->scan->count[axis];
    for (size_t first = 0; first < count; first += GROUP) {
        const size_t end = first + GROUP < count ? first + GROUP : count;
        size_t found = 0;
        for (size_t h = first; h < end; h++) {
            const size_t lower = hits[h].node, upper = lower + stride;
            const int up = hits[h].triangle >= 0;
            taken[found] = hits + h;
            found += (size_t)(bit_at(in_head, up ? lower : upper) &
                              !bit_at(c->bits, up ? upper : lower));
        }
        for (size_t i = 0; i < found; i++) {
            const pm_hit *hit = taken[i];
            const int up = hit->triangle >= 0;
            const size_t word = hit->node / LANES;
            const uint64_t below = ((uint64_t)1 << hit->node % LANES) - 1;
            const size_t v = c->firsts[word][axis] + count_bits(pm_crossed(c, word, axis) & below);
            const float other = c->mesh->places[v][3];
            const int32_t before = c->mesh->source[v];
            const int32_t triangle = up ? hit->triangle : ~hit->triangle;
            if (before >= 0 && (other == hit->at ? before > triangle : up == (other > hit->at)))
                continue;
            c->mesh->places[v][3] = hit->at;
            c->mesh->source[v] = triangle;
            memcpy(c->mesh->weights + 2 * v, hit->weights, sizeof hit->weights);
        }
    }
}

/* ---- */

/* An edge of the lattice that is crossed, and what was found of the vertex on it. */
typedef struct {
    pm_four start, way, normal; /* crop pixels */
    uint32_t x, y, z;           /* its lower end */
    int32_t axis, up;           /* whether the surface is left in that direction */
    float at;
} crossing;

typedef struct {
    const pm_cubes *c;
    crossing edges[GROUP];
    size_t count, first; /* and the number of the first vertex */
    uint8_t in_hair[GROUP], outer[GROUP];
} group;

static float clamped(float at) { return at < CLEAR ? CLEAR : at > 1 - CLEAR ? 1 - CLEAR : at; }

static void place_on_head(group *g) {
    const pm_mesh *mesh = g->c->mesh;
    const pm_point *points = g->c->scan->points;
    for (size_t i = 0; i < g->count; i++) {
        crossing *e = g->edges + i;
        const size_t v = g->first + i;
        float *weights = mesh->weights + 2 * v;
        e->at = e->up ? 0 : 1;
        e->normal = (pm_four){0};
        if (mesh->source[v] < 0) {
            weights[0] = weights[1] = 0;
            continue;
        }
        const int32_t *corners = g->c->faces[mesh->source[v]].corners;
        e->at = clamped(mesh->places[v][3]);
        e->normal = (1 - weights[0] - weights[1]) * points[corners[0]].normal +
                    weights[0] * points[corners[1]].normal +
                    weights[1] * points[corners[2]].normal;
    }
}

/* The hair's field at the lower or the upper end of an edge. */
static inline float hair_value(const pm_cubes *c, const crossing *e, uint32_t end) {
    const float *value = pm_hair_value(c->hair_scan, e->x + (end & (e->axis == 0)),
                                       e->y + (end & (e->axis == 1)),
                                       e->z + (end & (e->axis == 2)));
    return value ? *value : pm_hair_at(c->hair, end ? e->start + e->way : e->start, NULL);
}

/* Move the vertices of edges from a node in the hair to its surface, if that is farther out. */
static void place_on_hair(group *g) {
    const pm_cubes *c = g->c;
    size_t in_hair = 0, outer = 0;
    for (size_t i = 0; i < g->count; i++) {
        const crossing *e = g->edges + i;
        const uint32_t end = !e->up, x = e->x + (end & (e->axis == 0));
        const size_t word = (e->y + (end & (e->axis == 1))) * c->next[1] +
                            (e->z + (end & (e->axis == 2))) * c->next[2];
        g->in_hair[in_hair] = (uint8_t)i;
        in_hair += (size_t)bit_at(c->hair_scan->bits + word, x);
    }
    for (size_t i = 0; i < in_hair; i++) {
        crossing *e = g->edges + g->in_hair[i];
        const float first = hair_value(c, e, 0), second = hair_value(c, e, 1);
        const float share = clamped(first == second ? 0.5F : first / (first - second));
        const int farther = e->up ? share > e->at : share < e->at;
        e->at = farther ? share : e->at;
        g->outer[outer] = g->in_hair[i];
        outer += (size_t)farther;
    }
    for (size_t i = 0; i < outer; i++) {
        crossing *e = g->edges + g->outer[i];
        const size_t v = g->first + g->outer[i];
        c->mesh->source[v] = -1;
        c->mesh->weights[2 * v] = c->mesh->weights[2 * v + 1] = 0;
        pm_hair_at(c->hair, e->start + e->at * e->way, &e->normal);
        e->normal = -e->normal;
    }
}

static void place_group(group *g) {
    const pm_cubes *c = g->c;
    const float unit = 1 / (float)c->lattice->step;
    place_on_head(g);
    if (c->hair_scan->bits) place_on_hair(g);
    for (size_t i = 0; i < g->count; i++) {
        const crossing *e = g->edges + i;
        const size_t v = g->first + i;
        const float square = dot3(e->normal, e->normal);
        c->mesh->normals[v] = square > 0 ? e->normal / sqrtf(square)
                              : e->up    ? e->way * unit
                                         : e->way * -unit;
        c->mesh->places[v] = e->start + clamped(e->at) * e->way;
    }
    g->first += g->count;
    g->count = 0;
}

void pm_place_vertices(const pm_cubes *c) {
    const pm_lattice *lattice = c->lattice;
    const size_t words = lattice->words;
    const float step = (float)lattice->step;
    const pm_four ways[3] = {{step}, {0, step}, {0, 0, step}}, half = {0.5F, 0.5F, 0.5F};
    group g;
    g.c = c;
    g.count = g.first = 0;
    for (int axis = 0; axis < 3; axis++) take_hits(c, axis);
    for (size_t r = 0; r < c->row_count; r++) {
        const size_t row = c->rows[r], y = row % lattice->size[1], z = row / lattice->size[1];
        const pm_four nodes = {(float)lattice->origin[0],
                               (float)((ptrdiff_t)y + lattice->origin[1]),
                               (float)((ptrdiff_t)z + lattice->origin[2])};
        const pm_four begin = (nodes + half) * step;
        for (int axis = 0; axis < 3; axis++) {
            for (size_t w = 0; w < words; w++) {
                const size_t word = row * words + w;
                if (g.count + LANES > GROUP) place_group(&g);
                for (uint64_t m = pm_crossed(c, word, axis); m; m &= m - 1) {
                    const size_t i = (size_t)lowest_bit(m), x = w * LANES + i;
                    crossing *e = g.edges + g.count++;
                    e->start = begin + (float)x * ways[0];
                    e->way = ways[axis];
                    e->x = (uint32_t)x;
                    e->y = (uint32_t)y;
                    e->z = (uint32_t)z;
                    e->axis = axis;
                    e->up = (int32_t)(c->bits[word] >> i & 1);
                }
            }
        }
    }
    place_group(&g);
}
