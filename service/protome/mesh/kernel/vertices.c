/* Vertices are placed in groups, and all of a group go through one step before the next: what the
 * next vertex needs cannot be predicted, so that lists of those that need the same are made.
 */

#include "vertices.h"

#include <math.h>

#include "wide.h"
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
    int32_t up;                 /* whether the surface is left in that direction */
    float at, values[2];        /* of the hair, at its ends */
} crossing;

typedef struct {
    const pm_cubes *c;
    crossing edges[GROUP];
    size_t count, first;                   /* and the number of the first vertex */
    size_t hair_count;                     /* of edges from a node in the hair, */
    uint8_t in_hair[GROUP], outer[GROUP]; /* and those whose vertex is on the hair */
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

/* Move the vertices of edges from a node in the hair to its surface, if that is farther out. */
static void place_on_hair(group *g) {
    const pm_cubes *c = g->c;
    size_t outer = 0;
    for (size_t i = 0; i < g->hair_count; i++) {
        crossing *e = g->edges + g->in_hair[i];
        const float first = e->values[0], second = e->values[1];
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
        e->normal = -pm_hair_at(c->hair, e->start + e->at * e->way);
        e->normal[3] = 0;
    }
    g->hair_count = 0;
}

static WIDE void place_group(group *g) {
    const pm_cubes *c = g->c;
    const float unit = 1 / (float)c->lattice->step;
    place_on_head(g);
    place_on_hair(g);
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

/* Of the edges that are crossed, those from a node in the hair. */
static uint64_t from_hair(const pm_cubes *c, size_t word, int axis) {
    const uint64_t *hair = c->hair_scan->bits, inside = c->bits[word];
    if (!hair) return 0;
    const uint64_t next = axis ? hair[word + c->next[axis]] : hair[word] >> 1 | hair[word + 1] << 63;
    return (inside & hair[word]) | (~inside & next);
}

/* Take the edges along ``axis`` from the nodes of a word, by bit; ``x`` is the first one's.
 * ``rows`` are the hair's at their ends. */
static void take_edges(group *g, size_t word, uint64_t edges, size_t x, int axis, pm_four start,
                       pm_four way, const pm_hair_row rows[2]) {
    const pm_cubes *c = g->c;
    const uint64_t hair = from_hair(c, word, axis);
    const float step = (float)c->lattice->step;
    for (; edges; edges &= edges - 1) {
        const int i = lowest_bit(edges);
        crossing *e = g->edges + g->count;
        e->start = start + (pm_four){(float)(x + (size_t)i) * step};
        e->way = way;
        e->up = (int32_t)(c->bits[word] >> i & 1);
        if (hair >> i & 1) {
            const float *first = pm_hair_value(rows, x + (size_t)i);
            const float *second = pm_hair_value(rows + 1, x + (size_t)(i + !axis));
            e->values[0] = first ? *first : pm_hair_at(c->hair, e->start)[3];
            e->values[1] = second ? *second : pm_hair_at(c->hair, e->start + way)[3];
            g->in_hair[g->hair_count++] = (uint8_t)g->count;
        }
        g->count++;
    }
}

void pm_place_vertices(const pm_cubes *c) {
    const pm_lattice *lattice = c->lattice;
    const size_t words = lattice->words;
    const float step = (float)lattice->step;
    const pm_four ways[3] = {{step}, {0, step}, {0, 0, step}}, half = {0.5F, 0.5F, 0.5F};
    group g;
    g.c = c;
    g.count = g.first = g.hair_count = 0;
    for (int axis = 0; axis < 3; axis++) take_hits(c, axis);
    for (size_t r = 0; r < c->row_count; r++) {
        const size_t row = c->rows[r], y = row % lattice->size[1], z = row / lattice->size[1];
        const pm_four nodes = {(float)lattice->origin[0],
                               (float)((ptrdiff_t)y + lattice->origin[1]),
                               (float)((ptrdiff_t)z + lattice->origin[2])};
        const pm_four begin = (nodes + half) * step;
        for (size_t axis = 0; axis < 3; axis++) {
            pm_hair_row rows[2] = {{0}};
            if (c->hair_scan->bits) {
                rows[0] = pm_hair_row_at(c->hair_scan, y, z);
                rows[1] = pm_hair_row_at(c->hair_scan, y + (axis == 1), z + (axis == 2));
            }
            for (size_t w = 0; w < words; w++) {
                const size_t word = row * words + w;
                const uint64_t edges = pm_crossed(c, word, (int)axis);
                if (!edges) continue;
                if (g.count + LANES > GROUP) place_group(&g);
                take_edges(&g, word, edges, w * LANES, (int)axis, begin, ways[axis], rows);
            }
        }
    }
    place_group(&g);
}
