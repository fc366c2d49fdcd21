/* Marching cubes on the union of head and hair, with one bit a node to find the cells.
 *
 * Field coordinates are numbers of nodes of the lattice.
 */

#include "compose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "relax.h"

/* Least distance of a vertex from the ends of its edge, as a share of the edge: closer ones would
 * make triangles without area. */
static const float CLEAR = 0.01F;

/* ---- the lattice */

static int box_of(const pm_head *head, double low[3], double high[3]) {
    for (int a = 0; a < 3; a++) {
        low[a] = INFINITY;
        high[a] = -INFINITY;
    }
    for (size_t v = 0; v < head->vertex_count; v++) {
        for (int a = 0; a < 3; a++) {
            const double at = head->vertices[3 * v + a];
            if (!(fabs(at) <= FURTHEST)) return 0;
            if (at < low[a]) low[a] = at;
            if (at > high[a]) high[a] = at;
        }
    }
    return 1;
}

/* PM_BAD_SHAPE as for pm_compose; a lattice of size 0 where there is nothing. */
static pm_status make_lattice(const pm_input *input, const pm_hair *hair, pm_lattice *lattice) {
    const ptrdiff_t nodes = HAIR_CELL / input->step;
    double low[3], high[3];
    memset(lattice, 0, sizeof *lattice);
    lattice->step = input->step;
    if (!box_of(&input->head, low, high)) return PM_BAD_SHAPE;
    if (!input->head.vertex_count && !hair->values) return PM_OK;
    for (int a = 0; a < 3; a++) {
        if (hair->values) {
            low[a] = fmin(low[a], (double)(hair->low[a] * HAIR_CELL));
            high[a] = fmax(high[a], (double)(hair->high[a] * HAIR_CELL));
        }
        if (high[a] - low[a] > LONGEST_BOX) return PM_BAD_SHAPE;
        lattice->origin[a] = (ptrdiff_t)floor(low[a] / input->step - 0.5) - 1;
        const ptrdiff_t last = (ptrdiff_t)ceil(high[a] / input->step - 0.5) + 1;
        /* Cells of hair begin at a whole number of them. */
        lattice->origin[a] -= (lattice->origin[a] % nodes + nodes) % nodes;
        lattice->size[a] = (size_t)(last - lattice->origin[a]) + 1;
    }
    lattice->words = (lattice->size[0] + LANES - 1) / LANES;
    lattice->stride = lattice->words * LANES;
    return PM_OK;
}

/* ---- the walk */

typedef struct {
    const pm_input *input;
    const pm_lattice *lattice;
    const pm_scan *scan;
    const pm_hair *hair;
    const uint64_t *hair_bits; /* NULL without hair */
    const uint64_t *bits;      /* of the union */
    pm_mesh *mesh;
    size_t vertex_room, triangle_room;
    uint32_t *numbers[2][2]; /* of the vertices on the edges along x and y of the lower and the
                                upper plane of nodes */
    uint32_t *pillars;       /* and on the edges between the planes */
    uint32_t *crossed[3];    /* the hit of each edge of a plane along each axis */
} walk_state;

/* Find the hits of a list that the surface passes through: the last on each edge that leaves the
 * head. */
static void find_crossings(const walk_state *walk, int axis, uint32_t list, size_t plane) {
    const pm_hit *hits = walk->scan->hits;
    const size_t steps[3] = {1, walk->lattice->stride,
                             walk->lattice->stride * walk->lattice->size[1]};
    for (uint32_t h = list; h; h = hits[h].next) {
        const size_t node = hits[h].node;
        const int lower = bit_at(walk->bits, node), upper = bit_at(walk->bits, node + steps[axis]);
        const int up = hits[h].triangle >= 0;
        if (lower == upper || lower != up) continue;
        uint32_t *chosen = walk->crossed[axis] + (node - plane);
        const pm_hit *other = hits + *chosen;
        if (*chosen && other->node == node && (other->triangle >= 0) == up &&
            (up ? other->at > hits[h].at : other->at < hits[h].at))
            continue;
        *chosen = h;
    }
}

static float clamped(float at) { return at < CLEAR ? CLEAR : at > 1 - CLEAR ? 1 - CLEAR : at; }

static void head_normal(const walk_state *walk, const pm_hit *hit, int32_t triangle,
                        float normal[3]) {
    const int32_t *corners = walk->input->head.triangles + 3 * (size_t)triangle;
    const float *n[3], w[3] = {1 - hit->weights[0] - hit->weights[1], hit->weights[0],
                               hit->weights[1]};
    float square = 0;
    for (int i = 0; i < 3; i++) n[i] = walk->scan->normals + 3 * (size_t)corners[i];
    for (int a = 0; a < 3; a++) {
        normal[a] = w[0] * n[0][a] + w[1] * n[1][a] + w[2] * n[2][a];
        square += normal[a] * normal[a];
    }
    const float scale = square > 0 ? 1 / sqrtf(square) : 0;
    for (int a = 0; a < 3; a++) normal[a] *= scale;
}

/* The vertex on the edge along ``axis`` from a node, which is ``offset`` into its plane. */
static uint32_t add_vertex(walk_state *walk, const size_t node[3], size_t offset, int axis) {
    const pm_lattice *lattice = walk->lattice;
    pm_mesh *mesh = walk->mesh;
    const size_t steps[3] = {1, lattice->stride, lattice->stride * lattice->size[1]};
    const size_t number = mesh->vertex_count, lower = node_of(lattice, node[0], node[1], node[2]);
    const int up = bit_at(walk->bits, lower);
    const size_t inside = up ? lower : lower + steps[axis];
    float *spot = mesh->vertices + 3 * number, *normal = mesh->normals + 3 * number;
    float at = up ? 0 : 1;
    mesh->source[number] = -1;
    mesh->weights[2 * number] = mesh->weights[2 * number + 1] = 0;
    normal[0] = normal[1] = normal[2] = 0;
    if (bit_at(walk->scan->bits, inside)) {
        const pm_hit *hit = walk->scan->hits + walk->crossed[axis][offset];
        const int32_t triangle = hit->triangle < 0 ? ~hit->triangle : hit->triangle;
        at = clamped(hit->at);
        mesh->source[number] = triangle;
        memcpy(mesh->weights + 2 * number, hit->weights, sizeof hit->weights);
        head_normal(walk, hit, triangle, normal);
    }
    if (walk->hair_bits && bit_at(walk->hair_bits, inside)) {
        float slope[3];
        const float of_hair = clamped(pm_cross_hair(walk->hair, lattice, node, axis, slope));
        if (up ? of_hair > at : of_hair < at) {
            at = of_hair;
            mesh->source[number] = -1;
            mesh->weights[2 * number] = mesh->weights[2 * number + 1] = 0;
            memcpy(normal, slope, sizeof slope);
        }
    }
    if (normal[0] == 0 && normal[1] == 0 && normal[2] == 0) normal[axis] = up ? 1.0F : -1.0F;
    for (int a = 0; a < 3; a++) {
        const double whole = (double)(lattice->origin[a] + (ptrdiff_t)node[a]) + 0.5;
        spot[a] = (float)((whole + (a == axis ? (double)at : 0)) * lattice->step);
    }
    return (uint32_t)mesh->vertex_count++;
}

static int more_room(void **array, size_t room, size_t item) {
    void *moved = realloc(*array, room * item);
    if (moved) *array = moved;
    return moved != NULL;
}

static int reserve_vertices(walk_state *walk, size_t more) {
    pm_mesh *mesh = walk->mesh;
    if (mesh->vertex_count + more <= walk->vertex_room) return 1;
    walk->vertex_room = mesh->vertex_count + more + walk->vertex_room / 2 + 4096;
    return more_room((void **)&mesh->vertices, walk->vertex_room, 3 * sizeof(float)) &&
           more_room((void **)&mesh->normals, walk->vertex_room, 3 * sizeof(float)) &&
           more_room((void **)&mesh->source, walk->vertex_room, sizeof(int32_t)) &&
           more_room((void **)&mesh->weights, walk->vertex_room, 2 * sizeof(float));
}

static int reserve_triangles(walk_state *walk, size_t more) {
    pm_mesh *mesh = walk->mesh;
    if (mesh->triangle_count + more <= walk->triangle_room) return 1;
    walk->triangle_room = mesh->triangle_count + more + walk->triangle_room / 2 + 4096;
    return more_room((void **)&mesh->triangles, walk->triangle_room, 3 * sizeof(uint32_t));
}

/* Vertices on the edges along x and y of plane z, and from the plane below up to it. */
static int add_vertices(walk_state *walk, size_t z) {
    const pm_lattice *lattice = walk->lattice;
    const size_t words = lattice->words;
    for (size_t y = 0; y + 1 < lattice->size[1]; y++) {
        const uint64_t *row = walk->bits + (z * lattice->size[1] + y) * words;
        const uint64_t *below = row - lattice->size[1] * words;
        if (!reserve_vertices(walk, 3 * lattice->stride)) return 0;
        for (size_t w = 0; w < words; w++) {
            const uint64_t here = row[w];
            const size_t at = y * lattice->stride + w * LANES;
            for (uint64_t m = here ^ shifted(row, w, words); m; m &= m - 1) {
                const size_t i = (size_t)lowest_bit(m), node[3] = {w * LANES + i, y, z};
                walk->numbers[1][0][at + i] = add_vertex(walk, node, at + i, 0);
            }
            for (uint64_t m = here ^ row[w + words]; m; m &= m - 1) {
                const size_t i = (size_t)lowest_bit(m), node[3] = {w * LANES + i, y, z};
                walk->numbers[1][1][at + i] = add_vertex(walk, node, at + i, 1);
            }
            for (uint64_t m = here ^ below[w]; m; m &= m - 1) {
                const size_t i = (size_t)lowest_bit(m), node[3] = {w * LANES + i, y, z - 1};
                walk->pillars[at + i] = add_vertex(walk, node, at + i, 2);
            }
        }
    }
    return 1;
}

/* Triangles of the cells between plane z - 1 and plane z. */
static int add_triangles(walk_state *walk, size_t z) {
    const pm_lattice *lattice = walk->lattice;
    const size_t stride = lattice->stride, words = lattice->words;
    uint32_t *const *low = walk->numbers[0], *const *high = walk->numbers[1];
    const uint32_t *const numbers[12] = {
        low[0],  low[0] + stride, high[0], high[0] + stride, low[1],  low[1] + 1,
        high[1], high[1] + 1,     walk->pillars, walk->pillars + 1, walk->pillars + stride,
        walk->pillars + stride + 1};
    for (size_t y = 0; y + 1 < lattice->size[1]; y++) {
        const uint64_t *upper = walk->bits + (z * lattice->size[1] + y) * words;
        const uint64_t *lower = upper - lattice->size[1] * words;
        const uint64_t *rows[4] = {lower, lower + words, upper, upper + words};
        if (!reserve_triangles(walk, MOST_TRIANGLES * stride)) return 0;
        for (size_t w = 0; w < words; w++) {
            uint64_t corner[8], any = 0, all = UINT64_MAX;
            for (int c = 0; c < 8; c++) {
                corner[c] = c & 1 ? shifted(rows[c >> 1], w, words) : rows[c >> 1][w];
                any |= corner[c];
                all &= corner[c];
            }
            for (uint64_t m = any & ~all; m; m &= m - 1) {
                const int i = lowest_bit(m);
                int inside = 0;
                for (int c = 0; c < 8; c++) inside |= (int)(corner[c] >> i & 1) << c;
                const size_t cell = y * stride + w * LANES + (size_t)i;
                const mc_case *entry = &mc_cases[inside];
                uint32_t *out = walk->mesh->triangles + 3 * walk->mesh->triangle_count;
                for (int k = 0; k < 3 * entry->count; k++)
                    out[k] = numbers[entry->edges[k]][cell];
                walk->mesh->triangle_count += entry->count;
            }
        }
    }
    return 1;
}

static pm_status walk_lattice(walk_state *walk) {
    const pm_lattice *lattice = walk->lattice;
    const pm_scan *scan = walk->scan;
    const size_t plane = lattice->size[1] * lattice->stride;
    uint32_t *room = calloc(8 * plane, sizeof *room);
    pm_status status = room ? PM_OK : PM_NO_MEMORY;
    if (room) {
        for (int p = 0; p < 4; p++) walk->numbers[p / 2][p % 2] = room + (size_t)p * plane;
        walk->pillars = room + 4 * plane;
        for (int a = 0; a < 3; a++) walk->crossed[a] = room + (size_t)(5 + a) * plane;
    }
    for (size_t z = 1; z < lattice->size[2] && status == PM_OK; z++) {
        for (size_t y = 0; y < lattice->size[1]; y++)
            find_crossings(walk, 0, scan->rows[z * lattice->size[1] + y], z * plane);
        find_crossings(walk, 1, scan->planes[0][z], z * plane);
        find_crossings(walk, 2, scan->planes[1][z - 1], (z - 1) * plane);
        if (!add_vertices(walk, z) || !add_triangles(walk, z)) status = PM_NO_MEMORY;
        for (int a = 0; a < 2; a++) {
            uint32_t *const numbers = walk->numbers[0][a];
            walk->numbers[0][a] = walk->numbers[1][a];
            walk->numbers[1][a] = numbers;
        }
    }
    free(room);
    return status;
}

/* ---- all of it */

static pm_status compose_on(const pm_input *input, const pm_hair *hair, const pm_lattice *lattice,
                            pm_mesh *mesh) {
    pm_scan scan;
    uint64_t *hair_bits, *both = NULL;
    const size_t words = lattice->size[2] * lattice->size[1] * lattice->words;
    pm_status status = pm_scan_head(&input->head, lattice, &scan);
    if (status != PM_OK) return status;
    status = pm_scan_hair(hair, lattice, &hair_bits);
    if (status == PM_OK && hair_bits) {
        both = malloc(words * sizeof *both);
        if (!both) status = PM_NO_MEMORY;
        for (size_t w = 0; both && w < words; w++) both[w] = scan.bits[w] | hair_bits[w];
    }
    if (status == PM_OK) {
        walk_state walk = {.input = input, .lattice = lattice, .scan = &scan, .hair = hair,
                           .hair_bits = hair_bits, .bits = both ? both : scan.bits, .mesh = mesh};
        status = walk_lattice(&walk);
        if (status == PM_OK && mesh->triangle_count) status = pm_keep_largest(mesh);
        if (status == PM_OK && input->rounds > 0)
            status = pm_relax(&input->head, scan.normals, hair, input->step, input->rounds, mesh);
    }
    free(both);
    free(hair_bits);
    pm_free_scan(&scan);
    return status;
}

pm_status pm_compose(const pm_input *input, pm_mesh *mesh) {
    pm_hair hair;
    pm_lattice lattice;
    memset(mesh, 0, sizeof *mesh);
    pm_status status = pm_make_hair(input->hair, input->cells, &input->head, input->guard, &hair);
    if (status != PM_OK) return status;
    status = make_lattice(input, &hair, &lattice);
    if (status == PM_OK && lattice.words) status = compose_on(input, &hair, &lattice, mesh);
    pm_free_hair(&hair);
    if (status != PM_OK || !mesh->triangle_count) pm_free_mesh(mesh);
    return status;
}

void pm_free_mesh(pm_mesh *mesh) {
    free(mesh->vertices);
    free(mesh->normals);
    free(mesh->source);
    free(mesh->weights);
    free(mesh->triangles);
    memset(mesh, 0, sizeof *mesh);
}
