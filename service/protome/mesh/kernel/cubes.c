/* Marching cubes with one bit a node, after Schroeder, Maynard and Geveci, "Flying Edges", LDAV
 * 2015: the vertices are counted first, those along x, y and z of each row of nodes one after the
 * other, so that a walk along a row of cells finds their numbers by counting on.
 */

#include "cubes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"

/* Least distance of a vertex from the ends of its edge, as a share of the edge: closer ones would
 * make triangles without area. */
static const float CLEAR = 0.01F;

typedef struct {
    const pm_lattice *lattice;
    const pm_scan *scan;
    const pm_hair *hair;
    const pm_hair_scan *hair_scan;
    const uint64_t *bits;      /* of the union */
    const pm_face *faces;      /* of the head */
    uint32_t (*firsts)[3];     /* by word: number of its first vertex along each axis */
    size_t next[3];            /* words from a word to the one of the next node along y and z */
    pm_mesh *mesh;
} cubes;

/* The nodes of a word, by bit, from which the edge along ``axis`` is crossed. */
static inline uint64_t crossed(const cubes *c, size_t word, int axis) {
    const uint64_t here = c->bits[word];
    if (axis) return here ^ c->bits[word + c->next[axis]];
    /* The last node of a row is outside, and so is the first of the next row. */
    return here ^ (here >> 1 | c->bits[word + 1] << 63);
}

/* Number the vertices. */
static void count_vertices(cubes *c) {
    const pm_lattice *lattice = c->lattice;
    const size_t words = lattice->words, plane = lattice->size[1] * words;
    size_t found = 0;
    for (size_t begin = 0; begin < plane * (lattice->size[2] - 1); begin += words) {
        for (int axis = 0; axis < 3; axis++) {
            for (size_t word = begin; word < begin + words; word++) {
                const uint64_t mask = crossed(c, word, axis);
                c->firsts[word][axis] = (uint32_t)found;
                if (mask) found += count_bits(mask);
            }
        }
    }
    c->mesh->vertex_count = found;
}

/* ---- triangles */

/* Add the triangles of the cells from the row of nodes that begins with word ``begin``. */
static void add_row(const cubes *c, size_t begin) {
    const size_t words = c->lattice->words, right = begin + c->next[1], up = begin + c->next[2];
    const size_t first[4] = {begin, right, up, up + c->next[1]};
    uint32_t along_x[4];
    for (int r = 0; r < 4; r++) along_x[r] = c->firsts[first[r]][0];
    uint32_t along_y[2] = {c->firsts[begin][1], c->firsts[up][1]};
    uint32_t along_z[2] = {c->firsts[begin][2], c->firsts[right][2]};
    uint32_t *out = c->mesh->triangles + 3 * c->mesh->triangle_count;
    for (size_t w = 0; w < words; w++) {
        uint64_t corner[8], any = 0, all = UINT64_MAX;
        for (int r = 0; r < 4; r++) {
            corner[2 * r] = c->bits[first[r] + w];
            corner[2 * r + 1] = shifted(c->bits + first[r], w, words);
            any |= corner[2 * r] | corner[2 * r + 1];
            all &= corner[2 * r] & corner[2 * r + 1];
        }
        for (uint64_t m = any & ~all; m; m &= m - 1) {
            const int i = lowest_bit(m);
            uint32_t inside = 0;
            for (int k = 0; k < 8; k++) inside |= (uint32_t)(corner[k] >> i & 1) << k;
            const uint32_t x = inside ^ inside >> 1, y = inside ^ inside >> 2,
                           z = inside ^ inside >> 4;
            const uint32_t numbers[12] = {
                along_x[0], along_x[1],           along_x[2], along_x[3],
                along_y[0], along_y[0] + (y & 1), along_y[1], along_y[1] + (y >> 4 & 1),
                along_z[0], along_z[0] + (z & 1), along_z[1], along_z[1] + (z >> 2 & 1)};
            for (int r = 0; r < 4; r++) along_x[r] += x >> 2 * r & 1;
            along_y[0] = numbers[5];
            along_y[1] = numbers[7];
            along_z[0] = numbers[9];
            along_z[1] = numbers[11];
            /* Always as many as there may be: a loop of a known length is faster. */
            const mc_case *entry = &mc_cases[inside];
            for (int k = 0; k < 3 * MOST_TRIANGLES; k++) out[k] = numbers[entry->edges[k]];
            out += 3 * entry->count;
        }
    }
    c->mesh->triangle_count = (size_t)(out - c->mesh->triangles) / 3;
}

static int is_empty(const cubes *c, size_t begin) {
    uint64_t any = 0;
    for (size_t word = begin; word < begin + c->lattice->words; word++)
        any |= c->bits[word] | c->bits[word + c->next[1]] | c->bits[word + c->next[2]] |
               c->bits[word + c->next[1] + c->next[2]];
    return !any;
}

static pm_status add_triangles(const cubes *c) {
    const pm_lattice *lattice = c->lattice;
    const size_t words = lattice->words, rows = lattice->size[1] * (lattice->size[2] - 1) - 1;
    const size_t most = MOST_TRIANGLES * lattice->stride + MOST_TRIANGLES;
    /* A closed surface has twice as many triangles as vertices, but for a few. */
    size_t room = 0;
    const size_t wanted = 2 * c->mesh->vertex_count + most;
    for (size_t row = 0; row < rows; row++) {
        if (is_empty(c, row * words)) continue;
        if (c->mesh->triangle_count + most > room) {
            room = room ? room + room / 2 + most : wanted;
            uint32_t *moved = realloc(c->mesh->triangles, room * 3 * sizeof *moved);
            if (!moved) return PM_NO_MEMORY;
            c->mesh->triangles = moved;
        }
        add_row(c, row * words);
    }
    return PM_OK;
}

/* ---- vertices */

/* Give the vertices of edges that leave the head the hit farthest out; places[3] is where on the
 * edge. */
static void take_hits(const cubes *c, int axis) {
    const size_t strides[3] = {1, c->next[1] * LANES, c->next[2] * LANES};
    const pm_hit *end = c->scan->hits[axis] + c->scan->count[axis];
    for (const pm_hit *hit = c->scan->hits[axis]; hit < end; hit++) {
        const int up = hit->triangle >= 0;
        const size_t lower = hit->node, upper = lower + strides[axis];
        if (!bit_at(c->scan->bits, up ? lower : upper) || bit_at(c->bits, up ? upper : lower))
            continue;
        const uint64_t below = ((uint64_t)1 << lower % LANES) - 1;
        const uint64_t mask = crossed(c, lower / LANES, axis) & below;
        const size_t v = c->firsts[lower / LANES][axis] + count_bits(mask);
        const float other = c->mesh->places[v][3];
        const int32_t before = c->mesh->source[v], triangle = up ? hit->triangle : ~hit->triangle;
        if (before >= 0 && (other == hit->at ? before > triangle : up == (other > hit->at)))
            continue;
        c->mesh->places[v][3] = hit->at;
        c->mesh->source[v] = triangle;
        memcpy(c->mesh->weights + 2 * v, hit->weights, sizeof hit->weights);
    }
}

static float clamped(float at) { return at < CLEAR ? CLEAR : at > 1 - CLEAR ? 1 - CLEAR : at; }

/* An edge of the lattice that is crossed. */
typedef struct {
    pm_four start, way;       /* crop pixels */
    size_t x, y, z, node;     /* its lower end */
    int axis, up;             /* whether the surface is left in that direction */
} crossing;

/* The hair's field at the lower or the upper end of an edge. */
static inline float hair_value(const cubes *c, const crossing *e, int end) {
    const float *value = pm_hair_value(c->hair_scan, e->x + (size_t)(end & (e->axis == 0)),
                                       e->y + (size_t)(end & (e->axis == 1)),
                                       e->z + (size_t)(end & (e->axis == 2)));
    return value ? *value : pm_hair_at(c->hair, end ? e->start + e->way : e->start, NULL);
}

static inline void place_vertex(const cubes *c, size_t v, const crossing *e, size_t inside) {
    pm_mesh *mesh = c->mesh;
    const int up = e->up;
    pm_four normal = {0};
    float at = up ? 0 : 1;
    float *weights = mesh->weights + 2 * v;
    if (mesh->source[v] >= 0) {
        const int32_t *corners = c->faces[mesh->source[v]].corners;
        const pm_point *points = c->scan->points;
        at = clamped(mesh->places[v][3]);
        normal = (1 - weights[0] - weights[1]) * points[corners[0]].normal +
                 weights[0] * points[corners[1]].normal + weights[1] * points[corners[2]].normal;
    } else {
        weights[0] = weights[1] = 0;
    }
    if (c->hair_scan->bits && bit_at(c->hair_scan->bits, inside)) {
        const float first = hair_value(c, e, 0), second = hair_value(c, e, 1);
        const float share = clamped(first == second ? 0.5F : first / (first - second));
        if (up ? share > at : share < at) {
            at = share;
            mesh->source[v] = -1;
            weights[0] = weights[1] = 0;
            pm_hair_at(c->hair, e->start + at * e->way, &normal);
            normal = -normal;
        }
    }
    const float square = dot3(normal, normal), unit = 1 / (float)c->lattice->step;
    mesh->normals[v] = square > 0 ? normal / sqrtf(square) : up ? e->way * unit : e->way * -unit;
    mesh->places[v] = e->start + clamped(at) * e->way;
}

static void place_vertices(const cubes *c) {
    const pm_lattice *lattice = c->lattice;
    const size_t words = lattice->words, rows = lattice->size[1] * (lattice->size[2] - 1);
    const size_t strides[3] = {1, c->next[1] * LANES, c->next[2] * LANES};
    const float step = (float)lattice->step;
    const pm_four edges[3] = {{step}, {0, step}, {0, 0, step}}, half = {0.5F, 0.5F, 0.5F};
    size_t v = 0;
    for (size_t row = 0; row < rows; row++) {
        const size_t y = row % lattice->size[1], z = row / lattice->size[1];
        const pm_four nodes = {(float)lattice->origin[0],
                               (float)((ptrdiff_t)y + lattice->origin[1]),
                               (float)((ptrdiff_t)z + lattice->origin[2])};
        const pm_four begin = (nodes + half) * step;
        for (int axis = 0; axis < 3; axis++) {
            for (size_t w = 0; w < words; w++) {
                const size_t word = row * words + w;
                for (uint64_t m = crossed(c, word, axis); m; m &= m - 1) {
                    const size_t i = (size_t)lowest_bit(m), x = w * LANES + i;
                    const crossing e = {begin + (float)x * edges[0], edges[axis],
                                        x, y, z, word * LANES + i,
                                        axis, (int)(c->bits[word] >> i & 1)};
                    place_vertex(c, v++, &e, e.up ? e.node : e.node + strides[axis]);
                }
            }
        }
    }
}

pm_status pm_extract(const pm_input *input, const pm_lattice *lattice, const pm_scan *scan,
                     const pm_hair *hair, const pm_hair_scan *hair_scan, pm_mesh *mesh) {
    const size_t plane = lattice->size[1] * lattice->words, words = lattice->size[2] * plane;
    uint64_t *both = NULL;
    cubes c = {lattice, scan,
               hair,    hair_scan,
               scan->bits, input->head.faces,
               calloc(words, sizeof *c.firsts), {0, lattice->words, plane},
               mesh};
    if (hair_scan->bits) {
        both = malloc(words * sizeof *both);
        for (size_t w = 0; both && w < words; w++) both[w] = scan->bits[w] | hair_scan->bits[w];
        c.bits = both;
    }
    pm_status status = PM_NO_MEMORY;
    if (c.firsts && c.bits) {
        count_vertices(&c);
        const size_t n = mesh->vertex_count + 1;
        mesh->places = malloc(n * sizeof *mesh->places);
        mesh->normals = malloc(n * sizeof *mesh->normals);
        mesh->source = malloc(n * sizeof *mesh->source);
        mesh->weights = malloc(n * 2 * sizeof *mesh->weights);
        if (mesh->places && mesh->normals && mesh->source && mesh->weights) {
            memset(mesh->source, -1, n * sizeof *mesh->source);
            for (int axis = 0; axis < 3; axis++) take_hits(&c, axis);
            place_vertices(&c);
            status = add_triangles(&c);
        }
    }
    free(both);
    free(c.firsts);
    return status;
}
