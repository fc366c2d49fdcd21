/* Find out what is to be done with each block of texels of a row: fill, copy or mix. */

#include "tasks.h"

#include "texture.h"

static uint8_t kind_of(const float *const rows[2], size_t cell, size_t cells) {
    const size_t begin = cell ? cell - 1 : 0, end = cell + 2 < cells ? cell + 2 : cells;
    int fill = 1, copy = 1;
    for (int r = 0; r < 2; r++) {
        for (size_t k = begin; k < end; k++) {
            const float *at = rows[r] + TX_PLAN * k;
            fill = fill && !(at[TX_OWN] > 0) && !(at[TX_MIRRORED] > 0);
            copy = copy && at[TX_OWN] >= 1;
        }
    }
    return copy ? COPY : fill ? FILL : MIX;
}

void tx_set_kinds(const float *const rows[2], size_t cells, uint8_t *kinds) {
    for (size_t k = 0; k < cells; k++) kinds[k] = kind_of(rows, k, cells);
}

void tx_set_range(const float *row, size_t cells, size_t nodes, float *range) {
    const size_t block = nodes / cells;
    for (size_t cell = 0; cell < cells; cell++, range += 2) {
        const size_t begin = cell * block, end = begin + block;
        float low = 1, high = 0;
        for (size_t k = begin ? begin - 1 : 0; k <= end && k < nodes; k++) {
            const float weight = row[3 * k + WEIGHT];
            low = weight < low ? weight : low;
            high = weight > high ? weight : high;
        }
        range[0] = low, range[1] = high;
    }
}

void tx_set_shown(const float *above, const float *below, size_t cells, uint8_t *shown) {
    for (size_t k = 0; k < cells; k++, above += 2, below += 2) {
        const int none = !(above[1] > 0) && !(below[1] > 0);
        shown[k] = none ? 0 : above[0] >= 0.5F && below[0] >= 0.5F ? READ : READ | WEIGH;
    }
}

void tx_set_tasks(const uint8_t *kinds, const uint8_t *shown, size_t cells, uint8_t *tasks) {
    for (size_t k = 0; k < cells; k++) {
        const uint8_t kind = kinds[k], any = (shown[k] | shown[cells - 1 - k]) & READ;
        const int copied = kind == COPY && shown[k] == READ;
        tasks[k] = copied ? COPY : kind != FILL && any ? MIX : FILL;
    }
    for (size_t k = 0; k < cells; k++) {
        const size_t other = cells - 1 - k;
        const int detail = (tasks[k] & KIND) == MIX || (tasks[other] & KIND) == MIX;
        if (detail) tasks[k] |= DETAIL;
        if (detail || (tasks[k] & KIND) == COPY) tasks[k] |= shown[k];
    }
}
