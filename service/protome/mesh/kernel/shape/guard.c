/* Keep hair away from facial skin: reduce the occupancy of cells near it. */

#include <math.h>
#include <stdlib.h>

#include "../wide.h"
#include "hair.h"

/* Distance from guarded skin up to which its whole guard applies, and from which on none does,
 * in cells. */
static const float NEAR_SKIN = 2, FAR_FROM_SKIN = 3;

/* Cells that it reaches along an axis, and one more where there are none. */
enum { MOST_REACHED = 8 };

/* Skin within a cell. */
typedef struct {
    pm_four sum; /* of vertices: places in cells, guard */
    uint32_t count;
} patch;

/* Bits from ``low`` up to ``high``, below 64. */
static uint64_t span(ptrdiff_t low, ptrdiff_t high) {
    return (((uint64_t)1 << (high - low)) - 1) << low;
}

static WIDE void free_patch(const pm_hair *hair, const uint64_t *near, const patch *skin) {
    const size_t *cells = hair->cells;
    const float far = FAR_FROM_SKIN * FAR_FROM_SKIN, close = NEAR_SKIN * NEAR_SKIN;
    const float guard = skin->sum[3] / (float)skin->count;
    ptrdiff_t low[3], high[3];
    float centre[3];
    for (int a = 0; a < 3; a++) {
        centre[a] = skin->sum[a] / (float)skin->count - 0.5F;
        low[a] = (ptrdiff_t)ceilf(centre[a] - FAR_FROM_SKIN);
        high[a] = (ptrdiff_t)floorf(centre[a] + FAR_FROM_SKIN) + 1;
        if (low[a] < 0) low[a] = 0;
        if (high[a] > (ptrdiff_t)cells[a]) high[a] = (ptrdiff_t)cells[a];
    }
    const uint64_t reached = span(low[0], high[0]);
    /* Always eight cells of a row: the guard of those further away is 0. */
    const pm_four one = {1, 1, 1, 1};
    pm_four along[2];
    for (int i = 0; i < 2; i++) {
        const float x = (float)(low[0] + 4 * i);
        along[i] = (pm_four){x, x + 1, x + 2, x + 3} - centre[0];
        along[i] *= along[i];
    }
    /* Rows of cells that matter, and how much of the square of the distance is left for x. */
    float *rows[MOST_REACHED * MOST_REACHED], rests[MOST_REACHED * MOST_REACHED];
    size_t count = 0;
    for (ptrdiff_t z = low[2]; z < high[2]; z++) {
        for (ptrdiff_t y = low[1]; y < high[1]; y++) {
            const size_t number = (size_t)z * cells[1] + (size_t)y;
            const float dz = (float)z - centre[2], dy = (float)y - centre[1];
            rows[count] = pm_value_at(hair, low[0], y, z);
            rests[count] = far - dy * dy - dz * dz;
            count += (size_t)(((near[number] & reached) != 0) & (rests[count] > 0));
        }
    }
    for (size_t r = 0; r < count; r++) {
        float *row = rows[r];
        for (int i = 0; i < 2; i++, row += 4) {
            pm_four share = smaller((rests[r] - along[i]) / (far - close), one);
            share = 1 - guard * -smaller(-share, (pm_four){0});
            share = smaller(share, four_at(row));
            memcpy(row, &share, sizeof share);
        }
    }
}

pm_status pm_find_kept(const pm_hair *hair, const uint64_t *near, const pm_head *head,
                       const float *guard) {
    const size_t *cells = hair->cells, count = cells[0] * cells[1] * cells[2];
    /* Patches are numbered from 1 in the order in which they are found. */
    uint32_t *numbers = calloc(count, sizeof *numbers), found = 0;
    patch *patches = malloc((head->vertex_count + 1) * sizeof *patches);
    const pm_four end = {(float)cells[0], (float)cells[1], (float)cells[2], INFINITY};
    for (size_t v = 0; numbers && patches && v < head->vertex_count; v++) {
        const float *at = head->vertices + 3 * v;
        pm_four place = (pm_four){at[0], at[1], at[2], 0} * (1.0F / HAIR_CELL);
        const pm_four_ints within = (place >= 0) & (place < end);
        if (!(within[0] & within[1] & within[2])) continue;
        place[3] = guard[v] < 0 ? 0 : guard[v] > 1 ? 1 : guard[v];
        const size_t row = (size_t)place[2] * cells[1] + (size_t)place[1];
        uint32_t *number = numbers + row * cells[0] + (size_t)place[0];
        if (!*number) {
            *number = ++found;
            patches[found] = (patch){0};
        }
        patches[*number].sum += place;
        patches[*number].count++;
    }
    const pm_status status = numbers && patches ? PM_OK : PM_NO_MEMORY;
    if (status == PM_OK) {
        for (size_t r = 0; r < cells[1] * cells[2]; r++) {
            float *row = pm_value_at(hair, 0, (ptrdiff_t)(r % cells[1]), (ptrdiff_t)(r / cells[1]));
            for (size_t x = 0; near[r] && x < cells[0]; x++) row[x] = 1;
        }
        for (uint32_t p = 1; p <= found; p++)
            if (patches[p].sum[3] > 0) free_patch(hair, near, patches + p);
    }
    free(numbers);
    free(patches);
    return status;
}
