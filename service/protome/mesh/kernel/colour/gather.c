/* Average the photo's colours over an atlas' cells. */

#include <stdlib.h>
#include <string.h>

#include "../wide.h"
#include "photo.h"

/* What a row of nodes shows. */
typedef struct {
    int32_t *x, *y;
    uint32_t *colours;
} tx_shown;

static WIDE void read_nodes(const float *row, size_t begin, size_t end, const tx_photo *photo,
                            const tx_shown *out) {
    const float width = WHOLE * (float)photo->width, height = WHOLE * (float)photo->height;
    for (size_t k = begin; k < end; k++) {
        out->x[k] = (int32_t)(width * row[3 * k]) - HALF_WHOLE;
        out->y[k] = (int32_t)(height * row[3 * k + 1]) - HALF_WHOLE;
    }
    sample(photo, out->x + begin, out->y + begin, end - begin, out->colours + begin);
}

static int is_shown(const float *row, size_t cell, size_t block) {
    for (size_t k = cell * block; k < (cell + 1) * block; k++)
        if (row[3 * k + 2] > 0) return 1;
    return 0;
}

/* Add a row of nodes to the sums of the cells from ``begin``. */
static void add_row(const float *row, const uint32_t *colours, size_t begin, size_t end,
                    size_t block, float *sums) {
    const float share = 1 / (float)(block * block);
    for (size_t cell = begin; cell < end; cell++) {
        float *out = sums + 4 * cell;
        for (size_t k = cell * block; k < (cell + 1) * block; k++) {
            const float weight = share * row[3 * k + 2];
            for (int i = 0; i < COLOURS; i++)
                out[i] += weight * (float)(int32_t)(colours[k] >> 8 * i & 255);
            out[COLOURS] += weight;
        }
    }
}

int tx_gather(const float *trace, size_t nodes, const tx_photo *photo, size_t cells, float *sums) {
    const size_t block = nodes / cells;
    uint32_t *room = malloc(3 * nodes * sizeof *room);
    if (!room) return 0;
    const tx_shown shown = {(int32_t *)room, (int32_t *)room + nodes, room + 2 * nodes};
    memset(sums, 0, 4 * cells * cells * sizeof *sums);
    for (size_t line = 0; line < nodes; line++, trace += 3 * nodes) {
        for (size_t begin = 0, end; begin < cells; begin = end + 1) {
            for (end = begin; end < cells && is_shown(trace, end, block);) end++;
            if (end == begin) continue;
            read_nodes(trace, begin * block, end * block, photo, &shown);
            add_row(trace, shown.colours, begin, end, block, sums + 4 * cells * (line / block));
        }
    }
    free(room);
    return 1;
}
