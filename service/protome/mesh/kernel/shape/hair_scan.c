/* Sample the hair's field at the nodes of a lattice. */

#include <stdlib.h>

#include "hair.h"

enum { MOST_NODES = HAIR_CELL }; /* of a cell, along an axis */

/* Rows of bits of the nodes of a chunk's cells, of which each has ``nodes`` along an axis, and their
 * values. ``corner``: the value before those around the chunk. Node p of an axis has the weights[p]
 * of the values around it. */
static inline __attribute__((always_inline)) void scan_chunk(
    const float *corner, const ptrdiff_t steps[3], const int nodes,
    const pm_four weights[MOST_NODES], uint32_t rows[MOST_NODES][MOST_NODES], float *values) {
    for (int p = 0; p < nodes; p++) {
        pm_four flat[3][2];
        for (int n = 0; n < 6; n++) {
            const float *row = corner + n / 2 * steps[1] + n % 2 * HAIR_CHUNK;
            flat[n / 2][n % 2] = weights[p][0] * four_at(row) +
                                 weights[p][1] * four_at(row + steps[2]) +
                                 weights[p][2] * four_at(row + 2 * steps[2]);
        }
        for (int q = 0; q < nodes; q++) {
            const pm_four w = weights[q];
            const pm_four before = w[0] * flat[0][0] + w[1] * flat[1][0] + w[2] * flat[2][0];
            const pm_four end = w[0] * flat[0][1] + w[1] * flat[1][1] + w[2] * flat[2][1];
            const pm_four own = PM_SHUFFLE(before, end, 1, 2, 3, 4);
            const pm_four after = PM_SHUFFLE(before, end, 2, 3, 4, 5);
            pm_four_ints bits = {0};
            for (int r = 0; r < nodes; r++, values += HAIR_CHUNK) {
                const pm_four value =
                    before * weights[r][0] + own * weights[r][1] + after * weights[r][2];
                const int bit = 1 << r;
                bits |= (value > 0) & (pm_four_ints){bit, bit << nodes, bit << 2 * nodes,
                                                     bit << 3 * nodes};
                memcpy(values, &value, sizeof value);
            }
            rows[p][q] = (uint32_t)(bits[0] | bits[1] | bits[2] | bits[3]);
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

/* Room for a row of chunks more. */
static int make_room(pm_hair_scan *scan, size_t chunks, size_t *room) {
    if (chunks + scan->next[0] < *room) return 1;
    *room += *room / 2 + 8 * scan->next[0];
    float *moved =
        realloc(scan->values, (*room << 3 * scan->shift) * HAIR_CHUNK * sizeof *scan->values);
    if (moved) scan->values = moved;
    return moved != NULL;
}

/* Bits of the nodes of a chunk's rows in the cells of ``cells``, by bit. */
static uint32_t spread(uint32_t cells, int nodes) {
    uint32_t bits = 0;
    for (int x = 0; x < HAIR_CHUNK; x++) bits |= (cells >> x & 1) * ((1U << nodes) - 1) << x * nodes;
    return bits;
}

/* Bits from bit ``first``, which may be before bit 0. */
static uint32_t chunk_of(uint64_t row, ptrdiff_t first) {
    return (uint32_t)(first < 0 ? row << -first : row >> first) & ((1U << HAIR_CHUNK) - 1);
}

/* Scan the row of cells (y, z); ``found`` chunks have numbers. */
static void scan_row(const pm_hair *hair, const pm_lattice *lattice, ptrdiff_t y, ptrdiff_t z,
                     const pm_four weights[MOST_NODES], pm_hair_scan *scan, uint32_t *found) {
    const int nodes = 1 << scan->shift;
    const size_t words = lattice->words;
    const ptrdiff_t origin = lattice->origin[0] / nodes;
    const size_t first_z = (size_t)(z * nodes - lattice->origin[2]);
    const size_t first_y = (size_t)(y * nodes - lattice->origin[1]);
    uint32_t *numbers = scan->numbers + (first_z >> scan->shift) * scan->next[1] +
                        (first_y >> scan->shift) * scan->next[0];
    uint64_t all, any = find_cells(hair, y, z, &all);
    const uint64_t last = (1U << HAIR_CHUNK) - 1; /* of a row, moved to a chunk */
    while (any) {
        const size_t chunk = (size_t)(lowest_bit(any) - origin) / HAIR_CHUNK;
        const ptrdiff_t first = (ptrdiff_t)(chunk * HAIR_CHUNK) + origin;
        const uint32_t cells = chunk_of(any, first), whole = cells & chunk_of(all, first);
        const uint32_t mask = spread(cells, nodes);
        uint32_t inside[MOST_NODES][MOST_NODES];
        if (whole != cells) {
            const float *corner = pm_value_at(hair, first - 1, y - 1, z - 1);
            float *values = scan->values + ((size_t)++*found << 3 * scan->shift) * HAIR_CHUNK;
            numbers[chunk] = *found;
            if (nodes == 1) scan_chunk(corner, hair->steps, 1, weights, inside, values);
            else if (nodes == 2) scan_chunk(corner, hair->steps, 2, weights, inside, values);
            else scan_chunk(corner, hair->steps, MOST_NODES, weights, inside, values);
        } else {
            memset(inside, -1, sizeof inside);
        }
        const size_t at = chunk * HAIR_CHUNK << scan->shift;
        uint64_t *out = scan->bits + (first_z * lattice->size[1] + first_y) * words + at / LANES;
        for (int p = 0; p < nodes; p++, out += lattice->size[1] * words)
            for (int q = 0; q < nodes; q++)
                out[(size_t)q * words] |= (uint64_t)(inside[p][q] & mask) << at % LANES;
        any &= ~(first < 0 ? last >> -first : last << first);
    }
}

pm_status pm_scan_hair(const pm_hair *hair, const pm_lattice *lattice, pm_hair_scan *scan) {
    const int nodes = HAIR_CELL / lattice->step;
    size_t room = 0;
    uint32_t found = 0;
    pm_four weights[MOST_NODES];
    memset(scan, 0, sizeof *scan);
    if (!hair->values) return PM_OK;
    scan->shift = nodes / 2;
    scan->next[0] = (lattice->size[0] >> scan->shift) / HAIR_CHUNK + 1;
    scan->next[1] = scan->next[0] * ((lattice->size[1] >> scan->shift) + 1);
    scan->bits = calloc(pm_words_of(lattice), sizeof *scan->bits);
    scan->numbers =
        calloc(scan->next[1] * ((lattice->size[2] >> scan->shift) + 1), sizeof *scan->numbers);
    if (!scan->bits || !scan->numbers) return PM_NO_MEMORY;
    for (int p = 0; p < nodes; p++) {
        pm_four at[3];
        pm_spline((pm_four){((float)p + 0.5F) / (float)nodes - 0.5F}, at);
        weights[p] = (pm_four){at[0][0], at[1][0], at[2][0], 0};
    }
    for (ptrdiff_t z = hair->low[2]; z < hair->high[2]; z++) {
        for (ptrdiff_t y = hair->low[1]; y < hair->high[1]; y++) {
            if (!make_room(scan, found + 1, &room)) return PM_NO_MEMORY;
            scan_row(hair, lattice, y, z, weights, scan, &found);
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
