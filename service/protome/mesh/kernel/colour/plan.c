/* Plan an atlas on a coarse grid; see mesh/colour/fill.py, which does the same in NumPy. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../wide.h"
#include "grid.h"
#include "sheet.h"

/* As in fill.py. */
static const float FAINT = 0.06F, UNEVEN = 0.5F, SEAM = 10;
static const float MIDDLE = 4, AROUND = 3, HALF_SEEN = 0.5F, MOST_SEEN = 0.75F;
static const float TONES[TX_GROUPS][3] = {
    [TX_HAIR] = {0.35F, 0.3F, 0.3F},
    [TX_LIPS] = {0.9F, 0.68F, 0.66F},
    [TX_EYES] = {1, 1, 1},
    [TX_DARK] = {0.32F, 0.18F, 0.16F}};

static WIDE void set_mean(const tx_sheet *sheet) {
    const float *sums = sheet->in->sums;
    for (size_t k = 0; k < sheet->count; k++, sums += 4) {
        sheet->weight[k] = sums[3];
        for (int i = 0; i < 3; i++) sheet->mean[i][k] = sums[i] / most(sums[3], 1e-4F);
    }
    const float none = logf(TX_FLOOR);
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < sheet->count; k++)
            sheet->logs[i][k] = sheet->weight[k] > 0 ? logf(sheet->mean[i][k] + TX_FLOOR) : none;
}

/* Find the face's mean colour. */
static void set_face(tx_sheet *sheet) {
    float *weighted[3];
    for (size_t i = 0; i < 3; i++) {
        weighted[i] = sheet->room + sheet->count * i;
        for (size_t k = 0; k < sheet->count; k++)
            weighted[i][k] = sheet->weight[k] * sheet->mean[i][k];
    }
    const float *const colours[3] = {weighted[0], weighted[1], weighted[2]};
    sheet->has_face = mean_of(sheet, colours, sheet->weight, TX_SKIN, sheet->face);
    for (int i = 0; i < 3 && sheet->has_face; i++) sheet->face[i] = logf(sheet->face[i] + TX_FLOOR);
}

/* Set the photo's share of each cell: small gaps closed, smooth, and at the rim of what is seen only
   where it has the colours of what lies within. */
static WIDE void set_trusted(const tx_sheet *sheet) {
    const size_t n = sheet->side;
    float *room = sheet->room, *closed = room + sheet->count, *open = closed + sheet->count;
    gr_dilate(sheet->weight, n, room, open);
    gr_erode(open, n, room, closed);
    gr_erode(closed, n, room, open);
    float *like = open + sheet->count, *part = like + sheet->count;
    tx_like_inner(sheet, open, closed, like);
    for (size_t k = 0; k < sheet->count; k++) {
        /* In profile the middle of the face lies on the head's outline, beside which the photo shows
           the background: it has no rim. */
        const float away = fabsf((float)(k % n) + 0.5F - 0.5F * (float)n);
        const int middle = away < MIDDLE && sheet->in->groups[k] != TX_HAIR;
        /* What is not sure does not come back with the neighbours' shares. */
        const float sure = open[k] + (middle ? 0 : like[k] * (closed[k] - open[k]));
        part[k] = closed[k] > 0 ? sure / closed[k] : 0;
        open[k] = least(2 * sure, 1);
    }
    const gr_kernel kernel = gr_gaussian(1.2F), wide = gr_gaussian(AROUND);
    gr_blur(open, n, &kernel, room, open);
    float *around = closed;
    gr_blur(sheet->weight, n, &wide, room, around);
    for (size_t k = 0; k < sheet->count; k++) {
        const float weight = sheet->weight[k];
        const float smooth = open[k] * least(2 * part[k], 1);
        const float share = weight > 0.02F ? (smooth > 1 - FAINT ? 1 : smooth) : 0;
        /* The mouth is narrow: no rim of it is taken off, so that teeth stay. In profile it lies on
           the head's outline, beside which the photo shows the background. */
        const float within = clipped((around[k] - HALF_SEEN) / (MOST_SEEN - HALF_SEEN), 0, 1);
        const float mouth = sheet->in->mouth[k] ? least(2 * weight, 1) * within : 0;
        sheet->own[k] = most(share, mouth);
    }
}

/* Set what is seen of each cell without its light: own colours that others may take, and those of
   the mirrored place. */
static WIDE void set_seen(const tx_sheet *sheet) {
    const size_t n = sheet->side, count = sheet->count;
    float *bright = sheet->room, *ratio = bright + count, *both = ratio + count;
    float *room = both + count;
    for (size_t k = 0; k < count; k++) {
        const float sum = sheet->logs[0][k] + sheet->logs[1][k] + sheet->logs[2][k];
        bright[k] = sheet->source[k] > 0 ? sum / 3 - sheet->light[k] : 0;
    }
    for (size_t y = 0; y < count; y += n) {
        for (size_t x = 0; x < n; x++) {
            const size_t k = y + x, other = y + n - 1 - x;
            const float mirrored = (1 - sheet->own[k]) * sheet->source[other];
            sheet->mirrored[k] = mirrored > FAINT ? mirrored : 0;
            both[k] = sheet->source[k] * sheet->source[other];
            ratio[k] = both[k] * (bright[k] - bright[other]);
        }
    }
    /* The ratio of the two sides' light, from where both are seen to everywhere. */
    const gr_kernel kernel = gr_gaussian(6);
    gr_blur(ratio, n, &kernel, room, ratio);
    gr_blur(both, n, &kernel, room, both);
    for (size_t k = 0; k < count; k++) {
        ratio[k] = clipped(ratio[k] / (both[k] + 0.03F), -UNEVEN, UNEVEN);
        sheet->light[k] = expf(sheet->light[k]);
        if (sheet->mirrored[k] > 0) ratio[k] = sheet->mirrored[k] * expf(ratio[k]);
        else ratio[k] = 0;
        sheet->seen[3 * count + k] = sheet->source[k] + sheet->mirrored[k];
    }
    for (size_t i = 0; i < 3; i++) {
        float *plain = room, *seen = sheet->seen + count * i;
        for (size_t k = 0; k < count; k++)
            plain[k] = (sheet->mean[i][k] + TX_FLOOR) / sheet->light[k];
        for (size_t y = 0; y < count; y += n)
            for (size_t x = 0; x < n; x++)
                seen[y + x] = sheet->source[y + x] * plain[y + x] +
                              ratio[y + x] * plain[y + n - 1 - x];
    }
}

/* What a group that is not filled from cell to cell is filled with. */
static void set_tone(const tx_sheet *sheet, int group, const float skin[3], const float *hair,
                     float *out) {
    const size_t count = sheet->count;
    const float *const seen[3] = {sheet->seen, sheet->seen + count, sheet->seen + 2 * count};
    float colour[3];
    const int known =
        group != TX_DARK && mean_of(sheet, seen, sheet->seen + 3 * count, group, colour);
    for (size_t k = 0; k < count; k++) {
        if (sheet->in->groups[k] != group) continue;
        for (size_t i = 0; i < 3; i++) {
            float *to = out + count * i + k;
            if (!known) *to = skin[i] * TONES[group][i];
            else *to = group == TX_HAIR ? hair[count * i + k] : colour[i];
        }
    }
}

/* Fill each cell from the seen cells of its group. */
static void set_spread(const tx_sheet *sheet) {
    const size_t count = sheet->count;
    const float *const seen[3] = {sheet->seen, sheet->seen + count, sheet->seen + 2 * count};
    const float *total = sheet->seen + 3 * count;
    float *sums = sheet->room, *hair = sums + 4 * count, *room = hair + 3 * count;
    float *out = sheet->filled, skin[3], any = 0;
    for (int on_hair = 0; on_hair < 2; on_hair++) {
        for (size_t k = 0; k < count; k++) {
            const uint8_t group = sheet->in->groups[k];
            const int there = on_hair ? group == TX_HAIR : group == TX_SKIN || group == TX_NECK;
            for (size_t i = 0; i < 4; i++)
                sums[count * i + k] = there ? sheet->seen[count * i + k] : 0;
            if (!on_hair) any += sums[3 * count + k];
        }
        gr_pull_push(sums, sheet->side, room, on_hair ? hair : out);
    }
    if (!mean_of(sheet, seen, total, TX_SKIN, skin) && !mean_of(sheet, seen, total, -1, skin))
        for (int i = 0; i < 3; i++) skin[i] = 128 + TX_FLOOR;
    for (size_t k = 0; !(any > 0) && k < 3 * count; k++) out[k] = skin[k / count];
    for (int group = 0; group < TX_GROUPS; group++)
        if (group != TX_SKIN && group != TX_NECK) set_tone(sheet, group, skin, hair, out);
    const gr_kernel kernel = {1, {1.0F / 3, 1.0F / 3}};
    for (size_t i = 0; i < 3; i++)
        gr_blur(out + count * i, sheet->side, &kernel, room, out + count * i);
}

/* Make the two sides of the seam equal, and the strips beside it go on beyond it. */
static void close_seam(const tx_sheet *sheet, float *picture) {
    const size_t n = sheet->side, strip = sheet->in->strip, rows = sheet->in->rows;
    for (size_t y = strip; y < rows - strip; y++) {
        float *row = picture + n * y;
        const size_t above = y - strip, below = rows - strip - 1 - y;
        const size_t vertical = above < below ? above : below;
        for (size_t left = strip, right = n - 1 - strip; left < right; left++, right--) {
            const size_t away = left - strip < vertical ? left - strip : vertical;
            const float near = most(1 - (float)away / SEAM, 0);
            const float half = 0.5F * near * near * (row[right] - row[left]);
            row[left] += half, row[right] -= half;
        }
        for (size_t x = 0; x < strip; x++)
            row[x] = row[strip], row[n - 1 - x] = row[n - 1 - strip];
    }
    for (size_t y = 0; y < strip; y++) {
        memcpy(picture + n * y, picture + n * strip, n * sizeof *picture);
        memcpy(picture + n * (rows - 1 - y), picture + n * (rows - 1 - strip),
               n * sizeof *picture);
    }
}

static WIDE void write_plan(const tx_sheet *sheet, float *plan) {
    const size_t count = sheet->count;
    for (size_t i = 0; i < 3; i++) {
        const float *seen = sheet->seen + count * i, *total = sheet->seen + 3 * count;
        float *filled = sheet->filled + count * i;
        for (size_t k = 0; k < count; k++) {
            const float only = sheet->own[k] - sheet->source[k]; /* shown here and nowhere else */
            const float plain = seen[k] + (1 - total[k] - only) * filled[k];
            filled[k] = plain * sheet->light[k] + only * (sheet->mean[i][k] + TX_FLOOR) - TX_FLOOR;
        }
        close_seam(sheet, filled);
        for (size_t k = 0; k < count; k++) {
            const float sure = least(8 * sheet->weight[k], 1);
            const float base = clipped(filled[k], 0, 255);
            const float local = sure * sheet->mean[i][k] + (1 - sure) * base;
            plan[TX_PLAN * k + i] = base;
            plan[TX_PLAN * k + TX_MEAN + i] = clipped(local, 0, 255);
        }
    }
    for (size_t k = 0; k < count; k++) {
        plan[TX_PLAN * k + TX_OWN] = clipped(sheet->own[k], 0, 1);
        plan[TX_PLAN * k + TX_MIRRORED] = clipped(sheet->mirrored[k], 0, 1);
    }
}

int tx_plan(const tx_cells *in, float *plan) {
    const size_t count = in->side * in->side;
    float *room = malloc(TX_PICTURES * count * sizeof *room);
    if (!room) return 0;
    tx_sheet sheet = {
        .in = in, .side = in->side, .count = count,
        .weight = room, .mean = {room + count, room + 2 * count, room + 3 * count},
        .logs = {room + 4 * count, room + 5 * count, room + 6 * count},
        .own = room + 7 * count, .mirrored = room + 8 * count, .light = room + 9 * count,
        .source = room + 10 * count, .seen = room + 11 * count, .filled = room + 15 * count,
        .room = room + 18 * count};
    set_mean(&sheet);
    set_face(&sheet);
    set_trusted(&sheet);
    tx_keep_head(&sheet);
    tx_light(in, sheet.mean, sheet.source, sheet.room, sheet.light);
    set_seen(&sheet);
    set_spread(&sheet);
    write_plan(&sheet, plan);
    free(room);
    return 1;
}
