/* Interpolate the trace between two rows of nodes: the points of the photo that texels show. */

#include "band.h"

#include "../wide.h"
#include "photo.h"

static inline float limited(float value) {
    const float most = 1 << 29; /* the difference of two can be held */
    return value < -most ? -most : value > most ? most : value;
}

static WIDE void set_coarse(const tx_band *band, const tx_rows *rows, size_t begin, size_t end) {
    const float share = 1 / (float)rows->step, start = start_of(rows->step);
    const size_t nodes = rows->nodes;
    for (size_t i = 0; i < SPOT; i++) {
        int32_t *restrict first = band->coarse[FIRST][i], *restrict slope = band->coarse[SLOPE][i];
        const float *above = rows->above + i, *below = rows->below + i, scale = rows->scale[i];
        const float centre = i < WEIGHT ? -HALF_WHOLE : 0;
        for (size_t k = begin; k < end; k++) {
            const float from = limited(scale * above[3 * k] + centre);
            const float to = limited(scale * below[3 * k] + centre);
            const float rise = share * (to - from);
            first[k + 1] = (int32_t)(from + start * rise);
            slope[k + 1] = (int32_t)rise;
        }
        if (begin == 0) first[0] = first[1], slope[0] = slope[1];
        if (end == nodes) first[nodes + 1] = first[nodes], slope[nodes + 1] = slope[nodes];
    }
}

/* Interpolate along pieces of the row, each between two nodes. */
static inline void set_pieces(const int32_t *restrict ends, size_t count, int32_t step,
                              int32_t *restrict out) {
    for (size_t piece = 0; piece < count; piece++, out += step) {
        const int32_t slope = (ends[piece + 1] - ends[piece]) / step;
        const int32_t first = ends[piece] + (step % 2 ? slope : slope / 2);
        for (int32_t k = 0; k < step; k++) out[k] = first + k * slope;
    }
}

static WIDE void set_fine(const tx_band *band, int which, size_t begin, size_t count, size_t step) {
    for (int rate = FIRST; rate <= SLOPE; rate++) {
        const int32_t *in = band->coarse[rate][which] + begin;
        /* The room before and after the row takes the halves of pieces at its ends. */
        int32_t *out = band->fine[rate][which] + (ptrdiff_t)(begin * step) - (ptrdiff_t)(step / 2);
        if (step == 2) set_pieces(in, count, 2, out);
        else if (step == 4) set_pieces(in, count, 4, out);
        else set_pieces(in, count, (int32_t)step, out);
    }
}

void tx_set_spots(const tx_band *band, const tx_rows *rows, const uint8_t *tasks,
                  size_t cells) {
    const size_t block = rows->nodes / cells;
    for (size_t first = 0, last; first < cells; first = last) {
        const int task = tasks[first] & (READ | WEIGH);
        for (last = first + 1; last < cells && (tasks[last] & (READ | WEIGH)) == task;) last++;
        if (!(task & READ)) continue;
        const size_t begin = first * block, end = last * block;
        set_coarse(band, rows, begin ? begin - 1 : 0, end < rows->nodes ? end + 1 : end);
        for (int i = 0; i < (task & WEIGH ? SPOT : WEIGHT); i++)
            set_fine(band, i, begin, end - begin + 1, rows->step);
    }
}
