/* Place vertices in groups, all of which go through one step before the next: what the next vertex
 * needs cannot be predicted, so that lists of those that need the same are made.
 */

#include "vertices.h"

#include <math.h>

#include "../wide.h"
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
        e->at = (float)(1 - e->up);
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
        const int farther = (e->up & (share > e->at)) | (!e->up & (share < e->at));
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

/* Edges along an axis from the nodes of a word, by bit. */
typedef struct {
    uint64_t crossed, from_hair; /* and those whose inner end is in the hair */
    size_t word, x;              /* number of the word and of its first node in the row */
    int axis;
} edges;

/* The longest row has 490 nodes. */
enum { MOST_WORDS = 8 };

static inline __attribute__((always_inline)) size_t find_edges(const pm_cubes *c, size_t begin,
                                                               const int axis, edges *out) {
    const uint64_t *hair = c->hair_scan->bits;
    size_t count = 0;
    for (size_t w = 0; w < c->lattice->words; w++) {
        const size_t word = begin + w;
        edges *found = out + count;
        found->crossed = pm_crossed(c, word, axis);
        found->from_hair = 0;
        found->word = word;
        found->x = w * LANES;
        found->axis = axis;
        count += found->crossed != 0;
        if (!hair) continue;
        const uint64_t inside = c->bits[word];
        const uint64_t next = axis ? hair[word + c->next[axis]] : shifted(hair + word);
        found->from_hair = (inside & hair[word]) | (~inside & next);
    }
    return count;
}

/* Take the crossed edges from the row of nodes that begins at ``start``; ``rows`` are those of the
 * hair there and of the next nodes along y and z. */
static void take_edges(group *g, const edges *from, pm_four start, const pm_hair_row rows[3]) {
    const pm_cubes *c = g->c;
    const float step = (float)c->lattice->step;
    const pm_four ways[3] = {{step}, {0, step}, {0, 0, step}};
    const pm_hair_row *next = rows + from->axis;
    for (uint64_t m = from->crossed; m; m &= m - 1) {
        const size_t i = (size_t)lowest_bit(m), x = from->x + i;
        crossing *e = g->edges + g->count;
        e->start = start + (float)x * ways[0];
        e->way = ways[from->axis];
        e->up = (int32_t)(c->bits[from->word] >> i & 1);
        if (from->from_hair >> i & 1) {
            const float *first = pm_hair_value(rows, x);
            const float *second = pm_hair_value(next, x + !from->axis);
            e->values[0] = first ? *first : pm_hair_at(c->hair, e->start)[3];
            e->values[1] = second ? *second : pm_hair_at(c->hair, e->start + e->way)[3];
            g->in_hair[g->hair_count++] = (uint8_t)g->count;
        }
        g->count++;
    }
}

void pm_place_vertices(const pm_cubes *c) {
    const pm_lattice *lattice = c->lattice;
    const float step = (float)lattice->step;
    const pm_four half = {0.5F, 0.5F, 0.5F};
    group g;
    g.c = c;
    g.count = g.first = g.hair_count = 0;
    for (int axis = 0; axis < 3; axis++) take_hits(c, axis);
    for (size_t r = 0; r < c->row_count; r++) {
        const size_t row = c->rows[r], y = row % lattice->size[1], z = row / lattice->size[1];
        const pm_four nodes = {(float)lattice->origin[0],
                               (float)((ptrdiff_t)y + lattice->origin[1]),
                               (float)((ptrdiff_t)z + lattice->origin[2])};
        pm_hair_row rows[3] = {{0}};
        if (c->hair_scan->bits)
            for (size_t axis = 0; axis < 3; axis++)
                rows[axis] = pm_hair_row_at(c->hair_scan, y + (axis == 1), z + (axis == 2));
        edges found[3 * MOST_WORDS + 1];
        size_t count = find_edges(c, row * lattice->words, 0, found);
        count += find_edges(c, row * lattice->words, 1, found + count);
        count += find_edges(c, row * lattice->words, 2, found + count);
        for (size_t i = 0; i < count; i++) {
            if (g.count + LANES > GROUP) place_group(&g);
            take_edges(&g, found + i, (nodes + half) * step, rows);
        }
    }
    place_group(&g);
}
