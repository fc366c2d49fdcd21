/* The hair's field is the quadratic B-spline whose control points are the cells of the grid, less
 * what must stay free: facial skin, and the sides of the grid.
 */

#include "hair.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const float ISO = 127.5F;
/* Cells around the grid, empty: an edge of the lattice next to it reaches that far. */
#define PAD 2
/* Distance from guarded skin up to which its whole guard applies, and from which on none does,
 * in cells. */
static const float NEAR_SKIN = 2, FAR_FROM_SKIN = 3;
/* How steeply occupancy is limited towards the sides of the grid. */
static const float STEEP = 4;

static ptrdiff_t cell_of(ptrdiff_t node, int nodes) {
    return node >= 0 ? node / nodes : -((nodes - 1 - node) / nodes);
}

static float *value_at(const pm_hair *hair, ptrdiff_t x, ptrdiff_t y, ptrdiff_t z) {
    return hair->values + (x + PAD) + (y + PAD) * hair->steps[1] + (z + PAD) * hair->steps[2];
}

/* ---- the field */

typedef struct {
    float sum[3], guard; /* of vertices: places in cells, guard */
    uint32_t count;
} patch; /* skin within a cell */

/* Take occupancy away from the cells around a patch: ``kept`` is what share of it stays. */
static void free_patch(const size_t cells[3], const patch *skin, float *kept) {
    const float far = FAR_FROM_SKIN * FAR_FROM_SKIN, near = NEAR_SKIN * NEAR_SKIN;
    const float guard = skin->guard / (float)skin->count;
    ptrdiff_t low[3], high[3];
    float centre[3];
    for (int a = 0; a < 3; a++) {
        centre[a] = skin->sum[a] / (float)skin->count - 0.5F;
        low[a] = (ptrdiff_t)ceilf(centre[a] - FAR_FROM_SKIN);
        high[a] = (ptrdiff_t)floorf(centre[a] + FAR_FROM_SKIN) + 1;
        if (low[a] < 0) low[a] = 0;
        if (high[a] > (ptrdiff_t)cells[a]) high[a] = (ptrdiff_t)cells[a];
    }
    for (ptrdiff_t z = low[2]; z < high[2]; z++) {
        for (ptrdiff_t y = low[1]; y < high[1]; y++) {
            float *row = kept + ((size_t)z * cells[1] + (size_t)y) * cells[0];
            const float dz = (float)z - centre[2], dy = (float)y - centre[1];
            for (ptrdiff_t x = low[0]; x < high[0]; x++) {
                const float dx = (float)x - centre[0];
                float share = (far - dx * dx - dy * dy - dz * dz) / (far - near);
                share = 1 - guard * (share < 0 ? 0 : share > 1 ? 1 : share);
                if (share < row[x]) row[x] = share;
            }
        }
    }
}

/* The share of each cell's occupancy that the guarded skin leaves, (z, y, x). */
static int find_kept(const size_t cells[3], const pm_head *head, const float *guard, float *kept) {
    const size_t count = cells[0] * cells[1] * cells[2];
    patch *patches = calloc(count, sizeof *patches);
    if (!patches) return 0;
    for (size_t c = 0; c < count; c++) kept[c] = 1;
    for (size_t v = 0; v < head->vertex_count; v++) {
        float place[3];
        int within = 1;
        for (int a = 0; a < 3; a++) {
            place[a] = head->vertices[3 * v + a] / HAIR_CELL;
            within &= place[a] >= 0 && place[a] < (float)cells[a];
        }
        if (!within) continue;
        const size_t c = ((size_t)place[2] * cells[1] + (size_t)place[1]) * cells[0];
        patch *skin = patches + c + (size_t)place[0];
        for (int a = 0; a < 3; a++) skin->sum[a] += place[a];
        skin->guard += guard[v] < 0 ? 0 : guard[v] > 1 ? 1 : guard[v];
        skin->count++;
    }
    for (size_t c = 0; c < count; c++)
        if (patches[c].guard > 0) free_patch(cells, patches + c, kept);
    free(patches);
    return 1;
}

/* Fill the values; the grid's outermost cells become negative, so that the surface is round there,
 * between a superellipsoid of the fourth power and an ellipsoid: the former alone has flat sides. */
static void fill(pm_hair *hair, const uint8_t *occupancy, const float *kept) {
    const size_t *cells = hair->cells;
    float bulge[3][MOST_HAIR_CELLS];
    for (int a = 0; a < 3; a++) {
        const float half = (float)cells[a] / 2;
        hair->low[a] = (ptrdiff_t)cells[a];
        hair->high[a] = 0;
        for (size_t i = 0; i < cells[a]; i++) {
            const float place = ((float)i + 0.5F - half) / (half - 1);
            bulge[a][i] = place * place * (3 * place * place + 1) / 4;
        }
    }
    for (size_t z = 0; z < cells[2]; z++) {
        for (size_t y = 0; y < cells[1]; y++) {
            const size_t row = (z * cells[1] + y) * cells[0];
            float *values = value_at(hair, 0, (ptrdiff_t)y, (ptrdiff_t)z);
            const float limit = ISO * STEEP * (1 - bulge[1][y] - bulge[2][z]);
            float most = 0;
            for (size_t x = 0; x < cells[0]; x++) {
                const float value = (float)occupancy[row + x] * kept[row + x] - ISO;
                const float highest = limit - ISO * STEEP * bulge[0][x];
                values[x] = value < highest ? value : highest;
                most = values[x] > most ? values[x] : most;
            }
            if (most <= 0) continue;
            ptrdiff_t first = 0, last = (ptrdiff_t)cells[0] - 1;
            while (values[first] <= 0) first++;
            while (values[last] <= 0) last--;
            const ptrdiff_t from[3] = {first, (ptrdiff_t)y, (ptrdiff_t)z};
            const ptrdiff_t to[3] = {last, (ptrdiff_t)y, (ptrdiff_t)z};
            for (int a = 0; a < 3; a++) {
                if (from[a] - 1 < hair->low[a]) hair->low[a] = from[a] - 1;
                if (to[a] + 2 > hair->high[a]) hair->high[a] = to[a] + 2;
            }
        }
    }
}

pm_status pm_make_hair(const uint8_t *occupancy, const size_t cells[3], const pm_head *head,
                       const float *guard, pm_hair *hair) {
    const size_t count = cells[0] * cells[1] * cells[2];
    size_t any = 0;
    memset(hair, 0, sizeof *hair);
    for (size_t c = 0; c < count; c++) any += occupancy[c] >> 7;
    if (!any) return PM_OK;
    size_t padded = 1;
    for (int a = 0; a < 3; a++) {
        hair->cells[a] = cells[a];
        hair->steps[a] = (ptrdiff_t)padded;
        padded *= cells[a] + 2 * PAD;
    }
    float *kept = malloc(count * sizeof *kept);
    hair->values = malloc(padded * sizeof *hair->values);
    pm_status status = PM_NO_MEMORY;
    if (kept && hair->values && find_kept(cells, head, guard, kept)) {
        status = PM_OK;
        for (size_t c = 0; c < padded; c++) hair->values[c] = -ISO;
        fill(hair, occupancy, kept);
    }
    free(kept);
    if (status != PM_OK || hair->high[0] == 0) pm_free_hair(hair);
    return status;
}

void pm_free_hair(pm_hair *hair) {
    free(hair->values);
    memset(hair, 0, sizeof *hair);
}

/* ---- on the lattice */

/* Weights of three control points at ``offset`` cells from the middle one, and their slopes. */
static void spline(float offset, float weights[3], float slopes[3]) {
    weights[0] = (0.5F - offset) * (0.5F - offset) / 2;
    weights[1] = 0.75F - offset * offset;
    weights[2] = (0.5F + offset) * (0.5F + offset) / 2;
    slopes[0] = offset - 0.5F;
    slopes[1] = -2 * offset;
    slopes[2] = offset + 0.5F;
}

/* Bit i + 1 of word (y + 1) + (z + 1) * (cells y + 2): cell (i, y, z) is positive. */
static void pack_signs(const pm_hair *hair, uint64_t *signs) {
    const ptrdiff_t ny = (ptrdiff_t)hair->cells[1], nz = (ptrdiff_t)hair->cells[2];
    for (ptrdiff_t z = -1; z <= nz; z++) {
        for (ptrdiff_t y = -1; y <= ny; y++, signs++) {
            const float *row = value_at(hair, -1, y, z);
            *signs = 0;
            for (size_t x = 0; x < hair->cells[0] + 2; x++) *signs |= (uint64_t)(row[x] > 0) << x;
        }
    }
}

/* Rows of bits of the ``nodes`` to the power of three nodes of a cell; node p of an axis has the
 * weights[p] of the values around it. */
static void scan_cell(const float *middle, const ptrdiff_t steps[3], int nodes,
                      const float weights[HAIR_CELL][3], uint64_t rows[HAIR_CELL][HAIR_CELL]) {
    float flat[HAIR_CELL][3][3];
    for (int y = 0; y < 3; y++) {
        for (int x = 0; x < 3; x++) {
            const float *value = middle + (y - 1) * steps[1] + (x - 1);
            const float a = value[-steps[2]], b = value[0], c = value[steps[2]];
            for (int p = 0; p < nodes; p++)
                flat[p][y][x] = weights[p][0] * a + weights[p][1] * b + weights[p][2] * c;
        }
    }
    for (int p = 0; p < nodes; p++) {
        for (int q = 0; q < nodes; q++) {
            const float *w = weights[q];
            float line[3];
            rows[p][q] = 0;
            for (int x = 0; x < 3; x++)
                line[x] = w[0] * flat[p][0][x] + w[1] * flat[p][1][x] + w[2] * flat[p][2][x];
            for (int r = 0; r < nodes; r++) {
                const float *v = weights[r];
                const float value = v[0] * line[0] + v[1] * line[1] + v[2] * line[2];
                rows[p][q] |= (uint64_t)(value > 0) << r;
            }
        }
    }
}

pm_status pm_scan_hair(const pm_hair *hair, const pm_lattice *lattice, uint64_t **bits) {
    const size_t rows = lattice->size[1] * lattice->size[2], across = hair->cells[1] + 2;
    const int nodes = HAIR_CELL / lattice->step;
    const uint64_t whole = ((uint64_t)1 << nodes) - 1;
    float weights[HAIR_CELL][3], slopes[3];
    *bits = NULL;
    if (!hair->values) return PM_OK;
    uint64_t *signs = malloc(across * (hair->cells[2] + 2) * sizeof *signs);
    *bits = calloc(rows * lattice->words, sizeof **bits);
    if (!signs || !*bits) {
        free(signs);
        free(*bits);
        *bits = NULL;
        return PM_NO_MEMORY;
    }
    pack_signs(hair, signs);
    for (int p = 0; p < nodes; p++)
        spline(((float)p + 0.5F) / (float)nodes - 0.5F, weights[p], slopes);
    for (ptrdiff_t z = hair->low[2]; z < hair->high[2]; z++) {
        for (ptrdiff_t y = hair->low[1]; y < hair->high[1]; y++) {
            uint64_t any = 0, all = UINT64_MAX;
            for (int n = 0; n < 9; n++) {
                const uint64_t row = signs[(z + n / 3) * (ptrdiff_t)across + y + n % 3];
                any |= row | row >> 1 | row >> 2;
                all &= row & row >> 1 & row >> 2;
            }
            const size_t first =
                (size_t)(z * nodes - lattice->origin[2]) * lattice->size[1] +
                (size_t)(y * nodes - lattice->origin[1]);
            any &= (((uint64_t)1 << hair->cells[0]) - 1);
            for (; any; any &= any - 1) {
                const int x = lowest_bit(any);
                const size_t at = (size_t)(x * nodes - lattice->origin[0]);
                uint64_t inside[HAIR_CELL][HAIR_CELL];
                uint64_t *out = *bits + first * lattice->words + at / LANES;
                if (all >> x & 1)
                    for (int n = 0; n < nodes * nodes; n++) inside[n / nodes][n % nodes] = whole;
                else
                    scan_cell(value_at(hair, x, y, z), hair->steps, nodes,
                              (const float(*)[3])weights, inside);
                for (int p = 0; p < nodes; p++)
                    for (int q = 0; q < nodes; q++)
                        out[((size_t)p * lattice->size[1] + (size_t)q) * lattice->words] |=
                            inside[p][q] << at % LANES;
            }
        }
    }
    free(signs);
    return PM_OK;
}

float pm_cross_hair(const pm_hair *hair, const pm_lattice *lattice, const size_t node[3], int axis,
                    float normal[3]) {
    const int nodes = HAIR_CELL / lattice->step, au = (axis + 1) % 3, av = (axis + 2) % 3;
    ptrdiff_t cell[3];
    float weights[3][3], slopes[3][3], offset[3], values[4], by_u[4], by_v[4], ends[2];
    for (int a = 0; a < 3; a++) {
        const ptrdiff_t global = lattice->origin[a] + (ptrdiff_t)node[a];
        cell[a] = cell_of(global, nodes);
        offset[a] = ((float)(global - cell[a] * nodes) + 0.5F) / (float)nodes - 0.5F;
        spline(offset[a], weights[a], slopes[a]);
    }
    const float *middle = value_at(hair, cell[0], cell[1], cell[2]);
    const float pace = 1 / (float)nodes;
    /* Four values along the edge, with the other axes summed up. */
    for (int m = 0; m < 4; m++) {
        const float *plane = middle + (m - 1) * hair->steps[axis];
        values[m] = by_u[m] = by_v[m] = 0;
        for (int q = 0; q < 3; q++) {
            const float *row = plane + (q - 1) * hair->steps[av];
            const float a = row[-hair->steps[au]], b = row[0], c = row[hair->steps[au]];
            const float sum = weights[au][0] * a + weights[au][1] * b + weights[au][2] * c;
            values[m] += weights[av][q] * sum;
            by_v[m] += slopes[av][q] * sum;
            by_u[m] += weights[av][q] *
                       (slopes[au][0] * a + slopes[au][1] * b + slopes[au][2] * c);
        }
    }
    float w[3], s[3], at = 0;
    for (int end = 0; end < 3; end++) {
        /* The ends, then the crossing. */
        float place = offset[axis] + (end == 2 ? at : (float)end) * pace;
        const int over = place > 0.5F;
        spline(place - (float)over, w, s);
        const float *v = values + over;
        if (end < 2) {
            ends[end] = w[0] * v[0] + w[1] * v[1] + w[2] * v[2];
            if (end == 1) at = ends[0] == ends[1] ? 0.5F : ends[0] / (ends[0] - ends[1]);
            if (!(at >= 0)) at = 0;
            if (at > 1) at = 1;
            continue;
        }
        normal[axis] = -(s[0] * v[0] + s[1] * v[1] + s[2] * v[2]);
        v = by_u + over;
        normal[au] = -(w[0] * v[0] + w[1] * v[1] + w[2] * v[2]);
        v = by_v + over;
        normal[av] = -(w[0] * v[0] + w[1] * v[1] + w[2] * v[2]);
    }
    const float square =
        normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2];
    const float scale = square > 0 ? 1 / sqrtf(square) : 0;
    for (int a = 0; a < 3; a++) normal[a] *= scale;
    if (!scale) normal[axis] = ends[0] > ends[1] ? 1.0F : -1.0F;
    return at;
}

float pm_hair_at(const pm_hair *hair, const float point[3], float slope[3]) {
    float weights[3][3], slopes[3][3], value = 0;
    ptrdiff_t cell[3];
    slope[0] = slope[1] = slope[2] = 0;
    for (int a = 0; a < 3; a++) {
        const float place = point[a] / HAIR_CELL;
        if (!(place > 0 && place < (float)hair->cells[a])) return 0;
        cell[a] = (ptrdiff_t)place;
        spline(place - (float)cell[a] - 0.5F, weights[a], slopes[a]);
    }
    for (int z = 0; z < 3; z++) {
        for (int y = 0; y < 3; y++) {
            const float *row = value_at(hair, cell[0], cell[1] + y - 1, cell[2] + z - 1);
            const float a = row[-1], b = row[0], c = row[1];
            const float line = weights[0][0] * a + weights[0][1] * b + weights[0][2] * c;
            const float tilt = slopes[0][0] * a + slopes[0][1] * b + slopes[0][2] * c;
            value += weights[1][y] * weights[2][z] * line;
            slope[0] += weights[1][y] * weights[2][z] * tilt;
            slope[1] += slopes[1][y] * weights[2][z] * line;
            slope[2] += weights[1][y] * slopes[2][z] * line;
        }
    }
    for (int a = 0; a < 3; a++) slope[a] /= HAIR_CELL;
    return value;
}
