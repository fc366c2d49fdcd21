/* The hair's field at the nodes of a lattice. */

#include <stdlib.h>

#include "hair.h"

enum { MOST_NODES = HAIR_CELL }; /* of a cell, along an axis */

/* Rows of bits of the ``nodes`` to the power of three nodes of a cell and, by z, x and y, their
 * values; room for three more is needed. Part p of weights[k] is the weight that node p of an axis
 * has for the value before it, its own and the one after. */
static void scan_cell(const float *middle, const ptrdiff_t steps[3], int nodes,
                      const pm_four weights[3], pm_four_ints rows[MOST_NODES], float *values) {
    const float *corner = middle - steps[2] - steps[1] - 1;
    for (int p = 0; p < nodes; p++) {
        pm_four flat[3], line[3];
        for (int y = 0; y < 3; y++) {
            const float *row = corner + y * steps[1];
            flat[y] = weights[0][p] * four_at(row) + weights[1][p] * four_at(row + steps[2]) +
                      weights[2][p] * four_at(row + 2 * steps[2]);
        }
        for (int x = 0; x < 3; x++)
            line[x] = weights[0] * flat[0][x] + weights[1] * flat[1][x] + weights[2] * flat[2][x];
        rows[p] = (pm_four_ints){0};
        for (int r = 0; r < nodes; r++) {
            const pm_four value =
                line[0] * weights[0][r] + line[1] * weights[1][r] + line[2] * weights[2][r];
            rows[p] |= (value > 0) & 1 << r;
            memcpy(values + (p * nodes + r) * nodes, &value, sizeof value);
        }
    }
}

/* Cells of a row whose surroundings are inside: in part, or all of them. */
static uint64_t find_cells(const pm_hair *hair, ptrdiff_t y, ptrdiff_t z, uint64_t *whole) {
    const ptrdiff_t across = (ptrdiff_t)hair->cells[1] + 2;
    uint64_t any = 0, all = UINT64_MAX;
    for (int n = 0; n < 9; n++) {
        const uint64_t row = hair->signs[(z + n / 3) * across + y + n % 3];
        any |= row | row >> 1 | row >> 2;
        all &= row & row >> 1 & row >> 2;
    }
    *whole = all;
    return any & (((uint64_t)1 << hair->cells[0]) - 1);
}

/* Room for a row of cells more. */
static int make_room(pm_hair_scan *scan, size_t cells, size_t *room, size_t row) {
    if (cells + row < *room) return 1;
    *room += *room / 2 + 8 * row;
    float *moved = realloc(scan->values, ((*room << 3 * scan->shift) + 3) * sizeof *moved);
    if (moved) scan->values = moved;
    return moved != NULL;
}

pm_status pm_scan_hair(const pm_hair *hair, const pm_lattice *lattice, pm_hair_scan *scan) {
    const int nodes = HAIR_CELL / lattice->step;
    const size_t words = lattice->words;
    size_t room = 0;
    uint32_t found = 0;
    pm_four places = {0}, weights[3];
    memset(scan, 0, sizeof *scan);
    if (!hair->values) return PM_OK;
    scan->shift = nodes / 2;
    scan->next[0] = (lattice->size[0] >> scan->shift) + 1;
    scan->next[1] = scan->next[0] * ((lattice->size[1] >> scan->shift) + 1);
    scan->bits = calloc(lattice->size[1] * lattice->size[2] * words, sizeof *scan->bits);
    scan->numbers =
        calloc(scan->next[1] * ((lattice->size[2] >> scan->shift) + 1), sizeof *scan->numbers);
    if (!scan->bits || !scan->numbers) return PM_NO_MEMORY;
    for (int p = 0; p < nodes; p++) places[p] = ((float)p + 0.5F) / (float)nodes - 0.5F;
    pm_spline(places, weights);
    for (ptrdiff_t z = hair->low[2]; z < hair->high[2]; z++) {
        for (ptrdiff_t y = hair->low[1]; y < hair->high[1]; y++) {
            uint64_t all, any = find_cells(hair, y, z, &all);
            const size_t first_z = (size_t)(z * nodes - lattice->origin[2]);
            const size_t first_y = (size_t)(y * nodes - lattice->origin[1]);
            uint32_t *numbers = scan->numbers + (first_z >> scan->shift) * scan->next[1] +
                                (first_y >> scan->shift) * scan->next[0];
            if (!make_room(scan, found + 1, &room, hair->cells[0])) return PM_NO_MEMORY;
            for (; any; any &= any - 1) {
                const int x = lowest_bit(any);
                const size_t at = (size_t)(x * nodes - lattice->origin[0]);
                const int32_t row = (1 << nodes) - 1;
                pm_four_ints inside[MOST_NODES] = {
                    {row, row, row, row}, {row, row, row, row}, {row, row, row, row},
                    {row, row, row, row}};
                if (!(all >> x & 1)) {
                    numbers[at >> scan->shift] = ++found;
                    scan_cell(pm_value_at(hair, x, y, z), hair->steps, nodes, weights, inside,
                              scan->values + ((size_t)found << 3 * scan->shift));
                }
                uint64_t *out =
                    scan->bits + (first_z * lattice->size[1] + first_y) * words + at / LANES;
                for (int p = 0; p < nodes; p++, out += lattice->size[1] * words)
                    for (int q = 0; q < nodes; q++)
                        out[(size_t)q * words] |= (uint64_t)inside[p][q] << at % LANES;
            }
        }
    }
    return PM_OK;
}

void pm_free_hair_scan(pm_hair_scan *scan) {
    free(scan->bits);
    free(scan->numbers);
    free(scan->values);
    memset(scan, 0, sizeof *scan);
}
