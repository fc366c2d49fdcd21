/* Interpolate the trace between two rows of nodes. */

#ifndef PROTOME_BAND_H
#define PROTOME_BAND_H

#include "tasks.h"

/* The trace between two rows of nodes: at its first row, and what is added from row to row. */
typedef struct {
    int32_t *coarse[2][SPOT]; /* nodes + 2: with the ends twice */
    int32_t *fine[2][SPOT];   /* side, and room for a piece */
} tx_band;

enum { FIRST, SLOPE };

/* Two rows of nodes; spots are scaled to 16.16 pixels. */
typedef struct {
    const float *above, *below;
    float scale[SPOT];
    size_t nodes, step;
} tx_rows;

/* Half a texel, or none: how far the first texel's centre lies after a node's. */
static inline float start_of(size_t step) { return step % 2 ? 1 : 0.5F; }

/* Interpolate the band where tasks need it. */
void tx_set_spots(const tx_band *band, const tx_rows *rows, const uint8_t *tasks, size_t cells);

#endif
