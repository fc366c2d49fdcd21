/* Make the hair's field: the quadratic B-spline whose control points are the cells of the grid, less
 * what must stay free, which is facial skin and the sides of the grid.
 */

#include "hair.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../wide.h"
static const float ISO = 127.5F;
/* Cells around those inside whose values count: edges of the lattice, and vertices that move, end
 * up to two cells from there, and the spline takes one more. */
#define REACH 4
/* How steeply occupancy is limited towards the sides of the grid. */
static const float STEEP = 4;

/* ---- the field */

/* Find the rows' cells that are inside: bit x of row y + z * cells[1]. 0: there are none. */
static int find_inside(const uint8_t *occupancy, const size_t cells[3], uint64_t *inside) {
    uint64_t found = 0;
    for (size_t r = 0; r < cells[1] * cells[2]; r++, occupancy += cells[0]) {
        uint8_t any = 0;
        inside[r] = 0;
        for (size_t x = 0; x < cells[0]; x++) any |= occupancy[x];
        if (any < 128) continue;
        for (size_t x = 0; x < cells[0]; x++) inside[r] |= (uint64_t)(occupancy[x] >> 7) << x;
        found |= inside[r];
    }
    return found != 0;
}

/* Add the rows of ``from`` that are up to REACH * ``stride`` before or after, within ``count``. */
static void add_rows(const uint64_t *from, size_t count, size_t stride, uint64_t *to) {
    for (size_t way = 0; way <= REACH * stride && way < count; way += stride) {
        for (size_t r = way; r < count; r++) to[r] |= from[r - way];
        for (size_t r = way; r < count; r++) to[r - way] |= from[r];
    }
}

/* Widen the bits by REACH cells along each axis, in place; ``room`` for as many is needed. */
static void widen(const size_t cells[3], uint64_t *bits, uint64_t *room) {
    const size_t plane = cells[1], rows = plane * cells[2];
    memset(room, 0, rows * sizeof *room);
    for (size_t z = 0; z < cells[2]; z++) add_rows(bits + z * plane, plane, 1, room + z * plane);
    memset(bits, 0, rows * sizeof *bits);
    add_rows(room, rows, plane, bits);
    const uint64_t whole = ((uint64_t)1 << cells[0]) - 1;
    for (size_t r = 0; r < rows; r++) {
        for (int k = 0; k < REACH; k++) bits[r] |= bits[r] << 1 | bits[r] >> 1;
        bits[r] &= whole;
    }
}

/* Fill the rows of ``near``, which hold the share that is kept. The grid's outermost cells become
 * negative, so that the surface is round there, between a superellipsoid of the fourth power and an
 * ellipsoid: the former alone has flat sides. */
static WIDE void fill(pm_hair *hair, const uint8_t *occupancy, const uint64_t *near) {
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
            const size_t number = z * cells[1] + y;
            if (!near[number]) continue;
            const uint8_t *full = occupancy + number * cells[0];
            float *values = pm_value_at(hair, 0, (ptrdiff_t)y, (ptrdiff_t)z);
            const float limit = ISO * STEEP * (1 - bulge[1][y] - bulge[2][z]);
            uint64_t sign = 0;
            int any = 0;
            for (size_t x = 0; x < cells[0]; x++) {
                const float value = (float)full[x] * values[x] - ISO;
                const float highest = limit - ISO * STEEP * bulge[0][x];
                values[x] = value < highest ? value : highest;
                any |= values[x] > 0;
            }
            if (!any) continue;
            for (size_t x = 0; x < cells[0]; x++) sign |= (uint64_t)(values[x] > 0) << x;
            hair->signs[(z + 1) * (cells[1] + 2) + y + 1] = sign << 1;
            const ptrdiff_t at[3] = {0, (ptrdiff_t)y, (ptrdiff_t)z};
            for (int a = 0; a < 3; a++) {
                const ptrdiff_t first = a ? at[a] : lowest_bit(sign);
                const ptrdiff_t last = a ? at[a] : 63 - __builtin_clzll(sign);
                if (first - 1 < hair->low[a]) hair->low[a] = first - 1;
                if (last + 2 > hair->high[a]) hair->high[a] = last + 2;
            }
        }
    }
}

pm_status pm_make_hair(const uint8_t *occupancy, const size_t cells[3], const pm_head *head,
                       const float *guard, pm_hair *hair) {
    const size_t rows = cells[1] * cells[2];
    size_t padded = 1;
    memset(hair, 0, sizeof *hair);
    uint64_t *near = malloc(2 * rows * sizeof *near);
    if (!near) return PM_NO_MEMORY;
    if (!find_inside(occupancy, cells, near)) {
        free(near);
        return PM_OK;
    }
    widen(cells, near, near + rows);
    for (int a = 0; a < 3; a++) {
        hair->cells[a] = cells[a];
        hair->steps[a] = (ptrdiff_t)padded;
        padded *= cells[a] + 2 * (a ? HAIR_PAD : HAIR_ROW_PAD);
        hair->limit[a] = (float)cells[a] + 2;
    }
    hair->values = malloc(padded * sizeof *hair->values);
    hair->signs = calloc((cells[1] + 2) * (cells[2] + 2), sizeof *hair->signs);
    pm_status status = PM_NO_MEMORY;
    if (hair->values && hair->signs) {
        for (size_t c = 0; c < padded; c++) hair->values[c] = -ISO;
        status = pm_find_kept(hair, near, head, guard);
        if (status == PM_OK) fill(hair, occupancy, near);
    }
    free(near);
    if (status != PM_OK || hair->high[0] == 0) pm_free_hair(hair);
    return status;
}

void pm_free_hair(pm_hair *hair) {
    free(hair->values);
    free(hair->signs);
    memset(hair, 0, sizeof *hair);
}

WIDE pm_four pm_hair_at(const pm_hair *hair, pm_four point) {
    const pm_four place = point * (1.0F / HAIR_CELL) + 1;
    const pm_four_ints within = (place > 0) & (place < hair->limit);
    if (!(within[0] & within[1] & within[2])) return (pm_four){0};
    const pm_four_ints cell = __builtin_convertvector(place, pm_four_ints);
    const pm_four offset = place - __builtin_convertvector(cell, pm_four) - 0.5F;
    /* Weights and slopes by control point, parts by axis. */
    pm_four w[3], along_z[3], by_z[3];
    pm_spline(offset, w);
    const pm_four s[3] = {(offset - 0.5F) * (1.0F / HAIR_CELL), offset * (-2.0F / HAIR_CELL),
                          (offset + 0.5F) * (1.0F / HAIR_CELL)};
    /* First the sums along z, then those along y, then along x. */
    const ptrdiff_t next = hair->steps[2];
    const float *row = hair->values + (HAIR_ROW_PAD - HAIR_PAD) + cell[0] +
                       cell[1] * hair->steps[1] + cell[2] * next;
    for (int y = 0; y < 3; y++, row += hair->steps[1]) {
        const pm_four a = four_at(row), b = four_at(row + next), c = four_at(row + 2 * next);
        along_z[y] = w[0][2] * a + w[1][2] * b + w[2][2] * c;
        by_z[y] = s[0][2] * a + s[1][2] * b + s[2][2] * c;
    }
    const pm_four along_x = {w[0][0], w[1][0], w[2][0], 0};
    const pm_four by_x = {s[0][0], s[1][0], s[2][0], 0};
    const pm_four line = w[0][1] * along_z[0] + w[1][1] * along_z[1] + w[2][1] * along_z[2];
    const pm_four by_y = s[0][1] * along_z[0] + s[1][1] * along_z[1] + s[2][1] * along_z[2];
    const pm_four tilt = w[0][1] * by_z[0] + w[1][1] * by_z[1] + w[2][1] * by_z[2];
    return sums3(line * by_x, by_y * along_x, tilt * along_x, line * along_x);
}
