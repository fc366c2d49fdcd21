/* Lorensen and Cline, "Marching Cubes", SIGGRAPH 1987, with one bit a voxel to find the cells.
 *
 * Names: a cell is the cube between eight voxel centres; corner c of it lies at
 * (c & 1, c >> 1 & 1, c >> 2) in (x, y, z); edge 4 a + n runs along axis a. Field coordinates
 * count voxels of the occupied box with a margin around it.
 */

#include "marching_cubes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    ISO_BIT = 0x80,    /* over 127.5 is what has the top bit */
    MARGIN = 3,        /* samples around the box: smoothing and differences reach that far */
    LANES = 64,        /* voxels a word of bits */
    MOST_TRIANGLES = 5 /* of a case; mc_prepare never makes more */
};

static const float ISO = 127.5F;
static const uint64_t ISO_BITS = 0x8080808080808080U;

/* ---- table of cases */

typedef struct {
    uint8_t count;
    uint8_t edges[3 * MOST_TRIANGLES];
} mc_case;

static mc_case cases[256];
/* Each face's corners, counter-clockwise seen from outside. */
static const uint8_t faces[6][4] = {{0, 4, 6, 2}, {1, 3, 7, 5}, {0, 1, 5, 4},
                                    {2, 6, 7, 3}, {0, 2, 3, 1}, {4, 5, 7, 6}};

static int edge_between(int a, int b) {
    const int low = a < b ? a : b;
    switch (a ^ b) {
    case 1: return low >> 1;
    case 2: return 4 + ((low & 1) | (low >> 2 << 1));
    default: return 8 + low;
    }
}

/* One bit for each face that the edge lies on. */
static int faces_of(int edge) {
    int bits = 0;
    for (int f = 0; f < 6; f++)
        for (int i = 0; i < 4; i++)
            bits |= (edge_between(faces[f][i], faces[f][(i + 1) % 4]) == edge) << f;
    return bits;
}

/* For each crossed edge the one that the surface's outline goes on to.
 *
 * On a face each run of outside corners is cut off by a line of its own, so inside corners that
 * face each other across a diagonal are joined. Both cells at a face see the same corners and so
 * draw the same line: the surface is closed.
 */
static void outline(int inside, int8_t next[12]) {
    memset(next, -1, 12);
    for (int f = 0; f < 6; f++) {
        for (int i = 0; i < 4; i++) {
            const uint8_t *q = faces[f];
            const int last = q[i], after = q[(i + 1) % 4];
            if ((inside >> last & 1) || !(inside >> after & 1)) continue;
            int first = i;
            while (!(inside >> q[(first + 3) % 4] & 1)) first = (first + 3) % 4;
            next[edge_between(last, after)] = (int8_t)edge_between(q[(first + 3) % 4], q[first]);
        }
    }
}

/* Cut a loop into a fan whose diagonals lie on no face of the cell.
 *
 * A diagonal on a face might be drawn by the neighbour too and be an edge of four triangles.
 * Every loop of every case has such a fan.
 */
static void add_fan(mc_case *entry, const int8_t *loop, int n) {
    int apex = 0;
    for (; apex < n; apex++) {
        int clear = 1;
        for (int k = 2; k < n - 1; k++)
            clear &= !(faces_of(loop[apex]) & faces_of(loop[(apex + k) % n]));
        if (clear) break;
    }
    for (int k = 1; k < n - 1; k++) {
        uint8_t *corner = entry->edges + 3 * entry->count++;
        corner[0] = (uint8_t)loop[apex];
        corner[1] = (uint8_t)loop[(apex + k) % n];
        corner[2] = (uint8_t)loop[(apex + k + 1) % n];
    }
}

void mc_prepare(void) {
    for (int inside = 0; inside < 256; inside++) {
        int8_t next[12], loop[12];
        cases[inside].count = 0;
        outline(inside, next);
        for (int start = 0; start < 12; start++) {
            int n = 0;
            for (int edge = start; next[edge] >= 0;) {
                const int following = next[edge];
                loop[n++] = (int8_t)edge;
                next[edge] = -1;
                edge = following;
            }
            if (n) add_fan(&cases[inside], loop, n);
        }
    }
}

/* ---- the occupied box */

typedef struct {
    size_t low[3], high[3]; /* first and last voxel over the threshold, (z, y, x) */
} mc_box;

static uint64_t load8(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

static int row_is_empty(const uint8_t *row, size_t n) {
    uint64_t any = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) any |= load8(row + i);
    any &= ISO_BITS;
    for (; i < n; i++) any |= row[i] & ISO_BIT;
    return !any;
}

/* False when nothing is occupied. */
static int find_box(const uint8_t *volume, const size_t shape[3], mc_box *box) {
    const size_t width = shape[2];
    int found = 0;
    for (size_t z = 0; z < shape[0]; z++) {
        for (size_t y = 0; y < shape[1]; y++) {
            const uint8_t *row = volume + (z * shape[1] + y) * width;
            if (row_is_empty(row, width)) continue;
            size_t first = 0, last = width - 1;
            while (!(row[first] & ISO_BIT)) first++;
            while (!(row[last] & ISO_BIT)) last--;
            if (!found) {
                *box = (mc_box){{z, y, first}, {z, y, last}};
                found = 1;
            }
            box->high[0] = z;
            if (y < box->low[1]) box->low[1] = y;
            if (y > box->high[1]) box->high[1] = y;
            if (first < box->low[2]) box->low[2] = first;
            if (last > box->high[2]) box->high[2] = last;
        }
    }
    return found;
}

/* ---- the field: the box with its margin */

typedef struct {
    uint8_t *values;
    size_t depth, height, stride, plane; /* rows are a whole number of words long */
    ptrdiff_t origin[3];                 /* voxel of the first sample, (z, y, x) */
} mc_field;

static mc_status make_field(const uint8_t *volume, const size_t shape[3], const mc_box *box,
                            mc_field *field) {
    size_t extent[3], from[3], to[3];
    for (int a = 0; a < 3; a++) {
        extent[a] = box->high[a] - box->low[a] + 1 + 2 * MARGIN;
        field->origin[a] = (ptrdiff_t)box->low[a] - MARGIN;
        from[a] = box->low[a] > MARGIN ? box->low[a] - MARGIN : 0;
        to[a] = box->high[a] + MARGIN < shape[a] ? box->high[a] + MARGIN + 1 : shape[a];
    }
    field->depth = extent[0];
    field->height = extent[1];
    field->stride = (extent[2] + LANES - 1) / LANES * LANES;
    field->plane = field->height * field->stride;
    field->values = calloc(field->depth * field->plane, 1);
    if (!field->values) return MC_NO_MEMORY;
    for (size_t z = from[0]; z < to[0]; z++) {
        for (size_t y = from[1]; y < to[1]; y++) {
            uint8_t *row = field->values + ((ptrdiff_t)z - field->origin[0]) * field->plane +
                           ((ptrdiff_t)y - field->origin[1]) * field->stride;
            memcpy(row + ((ptrdiff_t)from[2] - field->origin[2]),
                   volume + (z * shape[1] + y) * shape[2] + from[2], to[2] - from[2]);
        }
    }
    return MC_OK;
}

/* ---- bits */

static int lowest_bit(uint64_t word) {
#if defined(__GNUC__)
    return __builtin_ctzll(word);
#else
    int n = 0;
    while (!(word >> n & 1)) n++;
    return n;
#endif
}

/* One bit a voxel, set inside; bit i of word w is voxel 64 w + i of its row. */
static void pack_plane(const uint8_t *values, size_t count, uint64_t *bits) {
    for (size_t w = 0; w < count / LANES; w++) {
        uint64_t word = 0;
        for (int group = 0; group < 8; group++) {
            const uint8_t *p = values + w * LANES + group * 8;
            const uint64_t eight = (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 |
                                   (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 |
                                   (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
                                   (uint64_t)p[7] << 56;
            /* The product gathers the eight top bits in its top byte. */
            const uint64_t tops = (eight & ISO_BITS) >> 7;
            word |= (tops * 0x0102040810204080U >> 56) << (group * 8);
        }
        bits[w] = word;
    }
}

/* The word whose bit i is the voxel after voxel i. */
static uint64_t shifted(const uint64_t *row, size_t w, size_t words) {
    return row[w] >> 1 | (w + 1 < words ? row[w + 1] << 63 : 0);
}

/* ---- smoothed samples, for the normals */

/* Plane z of the field, binomial weights (1 2 1) along each axis, 64 times the value.
 *
 * ``scratch`` has room for a plane. The outermost rows and columns are not written.
 */
static void smooth_plane(const mc_field *field, size_t z, uint16_t *scratch, uint16_t *out) {
    const size_t stride = field->stride, n = field->plane;
    const uint8_t *here = field->values + z * n, *before = here - n, *after = here + n;
    for (size_t i = 0; i < n; i++)
        scratch[i] = (uint16_t)(before[i] + 2 * here[i] + after[i]);
    for (size_t y = 1; y + 1 < field->height; y++) {
        uint16_t *row = out + y * stride, *sums = scratch + (y - 1) * stride;
        const uint16_t *second = sums + stride, *third = second + stride;
        /* The row above is not needed again. */
        for (size_t x = 0; x < stride; x++)
            sums[x] = (uint16_t)(sums[x] + 2 * second[x] + third[x]);
        for (size_t x = 1; x + 1 < stride; x++)
            row[x] = (uint16_t)(sums[x - 1] + 2 * sums[x] + sums[x + 1]);
    }
}

/* ---- walking the field */

typedef struct {
    const mc_field *field;
    float voxel[3];
    mc_mesh *mesh;
    size_t vertex_room, normal_room, triangle_room;
    uint64_t *bits[2];      /* of the lower and the upper plane of voxels */
    uint32_t *numbers[2][2]; /* of the vertices on their edges along x and y */
    uint32_t *pillars;      /* and on the edges between the planes */
    uint16_t *smooth[4];    /* planes z - 2 to z + 1, where z is the upper one */
    uint16_t *scratch;
} mc_walk;

static int grow(void **array, size_t *room, size_t needed, size_t item) {
    if (needed <= *room) return 1;
    size_t larger = *room ? *room * 2 : 4096;
    while (larger < needed) larger *= 2;
    if (larger > SIZE_MAX / item) return 0;
    void *moved = realloc(*array, larger * item);
    if (!moved) return 0;
    *array = moved;
    *room = larger;
    return 1;
}

/* Twice the smoothed gradient at sample ``at`` of the planes, per crop unit, as (x, y, z). */
static void gradient(const mc_walk *walk, uint16_t *const planes[3], size_t at, float out[3]) {
    const size_t stride = walk->field->stride;
    out[0] = (float)(planes[1][at + 1] - planes[1][at - 1]) / walk->voxel[2];
    out[1] = (float)(planes[1][at + stride] - planes[1][at - stride]) / walk->voxel[1];
    out[2] = (float)(planes[2][at] - planes[0][at]) / walk->voxel[0];
}

/* The vertex on the edge along ``axis`` from sample (z, y, x) of the field to the next.
 *
 * Its normal is the gradient of the smoothed samples: the facets' own shows the steps of the
 * voxels as terraces.
 */
static uint32_t add_vertex(mc_walk *walk, size_t z, size_t y, size_t x, int axis) {
    const mc_field *field = walk->field;
    const size_t steps[3] = {1, field->stride, field->plane};
    const size_t at = y * field->stride + x;
    const uint8_t *sample = field->values + z * field->plane + at;
    const float a = sample[0], b = sample[steps[axis]], t = (ISO - a) / (b - a);
    float *spot = walk->mesh->vertices + 3 * walk->mesh->vertex_count;
    float *normal = walk->mesh->normals + 3 * walk->mesh->vertex_count;
    const size_t index[3] = {x, y, z};
    float first[3], second[3], square = 0;
    gradient(walk, walk->smooth + (axis != 2), at, first);
    gradient(walk, walk->smooth + 1, axis == 2 ? at : at + steps[axis], second);
    for (int i = 0; i < 3; i++) {
        const float whole = (float)(field->origin[2 - i] + (ptrdiff_t)index[i]) + 0.5F;
        spot[i] = (whole + (i == axis ? t : 0)) * walk->voxel[2 - i];
        normal[i] = (t - 1) * first[i] - t * second[i];
        square += normal[i] * normal[i];
    }
    const float scale = square > 0 ? 1 / sqrtf(square) : 0;
    for (int i = 0; i < 3; i++) normal[i] *= scale;
    if (!scale) normal[axis] = a > b ? 1 : -1;
    return (uint32_t)walk->mesh->vertex_count++;
}

/* Vertices on the edges along x and y of plane z, and from the plane below up to it. */
static int add_vertices(mc_walk *walk, size_t z) {
    const mc_field *field = walk->field;
    const size_t words = field->stride / LANES;
    for (size_t y = 0; y + 1 < field->height; y++) {
        const uint64_t *row = walk->bits[1] + y * words, *below = walk->bits[0] + y * words;
        const size_t needed = walk->mesh->vertex_count + 3 * field->stride;
        if (!grow((void **)&walk->mesh->vertices, &walk->vertex_room, needed, 3 * sizeof(float)) ||
            !grow((void **)&walk->mesh->normals, &walk->normal_room, needed, 3 * sizeof(float)))
            return 0;
        for (size_t w = 0; w < words; w++) {
            const uint64_t here = row[w];
            const size_t x0 = w * LANES, at = y * field->stride + x0;
            for (uint64_t m = here ^ shifted(row, w, words); m; m &= m - 1) {
                const int i = lowest_bit(m);
                walk->numbers[1][0][at + i] = add_vertex(walk, z, y, x0 + i, 0);
            }
            for (uint64_t m = here ^ row[w + words]; m; m &= m - 1) {
                const int i = lowest_bit(m);
                walk->numbers[1][1][at + i] = add_vertex(walk, z, y, x0 + i, 1);
            }
            for (uint64_t m = here ^ below[w]; m; m &= m - 1) {
                const int i = lowest_bit(m);
                walk->pillars[at + i] = add_vertex(walk, z - 1, y, x0 + i, 2);
            }
        }
    }
    return 1;
}

/* Triangles of the cells between the lower and the upper plane. */
static int add_triangles(mc_walk *walk) {
    const mc_field *field = walk->field;
    const size_t stride = field->stride, words = stride / LANES;
    uint32_t *const *low = walk->numbers[0], *const *high = walk->numbers[1];
    const uint32_t *const numbers[12] = {
        low[0],  low[0] + stride, high[0], high[0] + stride, low[1],  low[1] + 1,
        high[1], high[1] + 1,     walk->pillars, walk->pillars + 1, walk->pillars + stride,
        walk->pillars + stride + 1};
    for (size_t y = 0; y + 1 < field->height; y++) {
        const uint64_t *rows[4] = {walk->bits[0] + y * words, walk->bits[0] + (y + 1) * words,
                                   walk->bits[1] + y * words, walk->bits[1] + (y + 1) * words};
        if (!grow((void **)&walk->mesh->triangles, &walk->triangle_room,
                  walk->mesh->triangle_count + MOST_TRIANGLES * stride, 3 * sizeof(uint32_t)))
            return 0;
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
                const size_t cell = y * stride + w * LANES + i;
                const mc_case *entry = &cases[inside];
                uint32_t *out = walk->mesh->triangles + 3 * walk->mesh->triangle_count;
                for (int k = 0; k < 3 * entry->count; k++)
                    out[k] = numbers[entry->edges[k]][cell];
                walk->mesh->triangle_count += entry->count;
            }
        }
    }
    return 1;
}

/* Go up by a plane: what was upper is lower, and there is room for the next. */
static void step_up(mc_walk *walk) {
    uint64_t *const bits = walk->bits[0];
    walk->bits[0] = walk->bits[1];
    walk->bits[1] = bits;
    for (int a = 0; a < 2; a++) {
        uint32_t *const numbers = walk->numbers[0][a];
        walk->numbers[0][a] = walk->numbers[1][a];
        walk->numbers[1][a] = numbers;
    }
    uint16_t *const smooth = walk->smooth[0];
    memmove(walk->smooth, walk->smooth + 1, 3 * sizeof smooth);
    walk->smooth[3] = smooth;
}

static mc_status walk_field(const mc_field *field, const float voxel[3], mc_mesh *mesh) {
    const size_t plane = field->plane, words = plane / LANES;
    mc_walk walk = {.field = field, .voxel = {voxel[0], voxel[1], voxel[2]}, .mesh = mesh};
    mc_status status = MC_NO_MEMORY;
    uint64_t *bits = calloc(2 * words, sizeof *bits);
    uint32_t *numbers = malloc(5 * plane * sizeof *numbers);
    uint16_t *smooth = calloc(5 * plane, sizeof *smooth);
    if (bits && numbers && smooth) {
        status = MC_OK;
        for (int p = 0; p < 2; p++) {
            walk.bits[p] = bits + p * words;
            for (int a = 0; a < 2; a++) walk.numbers[p][a] = numbers + (2 * p + a) * plane;
        }
        walk.pillars = numbers + 4 * plane;
        for (int p = 0; p < 4; p++) walk.smooth[p] = smooth + p * plane;
        walk.scratch = smooth + 4 * plane;
        /* Plane MARGIN is the first with anything inside, plane depth - MARGIN the first without. */
        for (int p = 0; p < 3; p++)
            smooth_plane(field, (size_t)p + MARGIN - 2, walk.scratch, walk.smooth[p]);
        for (size_t z = MARGIN; z + MARGIN <= field->depth && status == MC_OK; z++) {
            smooth_plane(field, z + 1, walk.scratch, walk.smooth[3]);
            pack_plane(field->values + z * plane, plane, walk.bits[1]);
            if (!add_vertices(&walk, z) || !add_triangles(&walk)) status = MC_NO_MEMORY;
            step_up(&walk);
        }
    }
    free(bits);
    free(numbers);
    free(smooth);
    return status;
}

/* ---- the largest piece */

static uint32_t root_of(uint32_t *parent, uint32_t v) {
    while (parent[v] != v) {
        parent[v] = parent[parent[v]];
        v = parent[v];
    }
    return v;
}

static void join(uint32_t *parent, uint32_t a, uint32_t b) {
    a = root_of(parent, a);
    b = root_of(parent, b);
    if (a < b) parent[b] = a;
    else parent[a] = b;
}

static mc_status keep_largest(mc_mesh *mesh) {
    const size_t n = mesh->vertex_count, m = mesh->triangle_count;
    uint32_t *parent = malloc(n * sizeof *parent), *size = calloc(n, sizeof *size);
    mc_status status = MC_NO_MEMORY;
    if (parent && size) {
        status = MC_OK;
        uint32_t *t = mesh->triangles, best = 0;
        for (size_t v = 0; v < n; v++) parent[v] = (uint32_t)v;
        for (size_t k = 0; k < m; k++) {
            join(parent, t[3 * k], t[3 * k + 1]);
            join(parent, t[3 * k], t[3 * k + 2]);
        }
        for (size_t k = 0; k < m; k++) size[root_of(parent, t[3 * k])]++;
        for (size_t v = 1; v < n; v++)
            if (size[v] > size[best]) best = (uint32_t)v;
        if (size[best] < m) {
            size_t kept = 0;
            /* ``size`` becomes the new numbers. */
            for (size_t v = 0; v < n; v++) {
                if (root_of(parent, (uint32_t)v) != best) {
                    size[v] = UINT32_MAX;
                    continue;
                }
                memmove(mesh->vertices + 3 * kept, mesh->vertices + 3 * v, 3 * sizeof(float));
                memmove(mesh->normals + 3 * kept, mesh->normals + 3 * v, 3 * sizeof(float));
                size[v] = (uint32_t)kept++;
            }
            mesh->vertex_count = kept;
            kept = 0;
            for (size_t k = 0; k < m; k++) {
                if (size[t[3 * k]] == UINT32_MAX) continue;
                for (int i = 0; i < 3; i++) t[3 * kept + i] = size[t[3 * k + i]];
                kept++;
            }
            mesh->triangle_count = kept;
        }
    }
    free(parent);
    free(size);
    return status;
}

/* ---- all of it */

static int too_large(const size_t shape[3]) {
    /* At most three vertices a voxel of the field. */
    size_t room = UINT32_MAX / 3;
    for (int a = 0; a < 3; a++) {
        if (shape[a] > UINT32_MAX / 3) return 1;
        room /= shape[a] + 2 * MARGIN + (a == 2 ? LANES : 0);
    }
    return room == 0;
}

mc_status mc_extract(const uint8_t *volume, const size_t shape[3], const float voxel[3],
                     int largest, mc_mesh *mesh) {
    mc_box box;
    mc_field field;
    memset(mesh, 0, sizeof *mesh);
    if (!shape[0] || !shape[1] || !shape[2]) return MC_OK;
    if (too_large(shape)) return MC_TOO_LARGE;
    if (!find_box(volume, shape, &box)) return MC_OK;
    mc_status status = make_field(volume, shape, &box, &field);
    if (status == MC_OK) {
        status = walk_field(&field, voxel, mesh);
        free(field.values);
    }
    if (status == MC_OK && largest) status = keep_largest(mesh);
    if (status != MC_OK) mc_free(mesh);
    return status;
}

void mc_free(mc_mesh *mesh) {
    free(mesh->vertices);
    free(mesh->normals);
    free(mesh->triangles);
    memset(mesh, 0, sizeof *mesh);
}
