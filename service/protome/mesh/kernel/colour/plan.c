/* Plan an atlas on a coarse grid; see mesh/colour/fill.py, which does the same in NumPy. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "grid.h"
#include "plan.h"
#include "../wide.h"

/* As in fill.py. */
static const float FAINT = 0.06F, UNEVEN = 0.5F, EVEN = 0.9F, SEAM = 10;
static const float TONES[TX_GROUPS][3] = {
    [TX_HAIR] = {0.35F, 0.3F, 0.3F},
    [TX_LIPS] = {0.9F, 0.68F, 0.66F},
    [TX_EYES] = {1, 1, 1},
    [TX_DARK] = {0.32F, 0.18F, 0.16F}};
/* Most that colours differ from the usual one: in tint, brighter, darker. */
static const float LIKE_FACE[3] = {0.3F, 0.25F, 1.4F}, LIKE_HAIR[3] = {0.6F, 0.9F, 2.0F};
static const float LIKE_SKIN[3] = {0.3F, 0.4F, 0.8F}, LEAST_UNLIKE = 0.2F;

static inline float least(float a, float b) { return a < b ? a : b; }
static inline float most(float a, float b) { return a > b ? a : b; }
static inline float clipped(float value, float low, float high) {
    return least(most(value, low), high);
}

/* Pictures of the grid. */
typedef struct {
    const tx_cells *in;
    size_t side, count;
    float *weight, *mean[3]; /* of the photo */
    float *own, *mirrored;   /* shares */
    float *source;           /* the part of the own share that other places are coloured from */
    float *light;            /* as a logarithm, then as a factor */
    float *seen;             /* 4 pictures: colours without light, and their share */
    float *filled;           /* 3 pictures */
    float *room;             /* TX_ROOM pictures */
} tx_sheet;

enum { TX_ROOM = 14, TX_PICTURES = 15 + TX_ROOM };

static WIDE void set_mean(const tx_sheet *sheet) {
    const float *sums = sheet->in->sums;
    for (size_t k = 0; k < sheet->count; k++, sums += 4) {
        sheet->weight[k] = sums[3];
        for (int i = 0; i < 3; i++) sheet->mean[i][k] = sums[i] / most(sums[3], 1e-4F);
    }
}

/* Set the photo's share of each cell: small gaps closed, the rim off, wide and smooth. */
static WIDE void set_trusted(const tx_sheet *sheet) {
    const size_t n = sheet->side;
    float *room = sheet->room, *closed = room + sheet->count, *open = closed + sheet->count;
    gr_dilate(sheet->weight, n, room, open);
    gr_erode(open, n, room, closed);
    gr_erode(closed, n, room, open);
    for (size_t k = 0; k < sheet->count; k++) {
        /* Hair is seen in narrow strips, which have no rim to lose. */
        open[k] = least(1.5F * (sheet->in->groups[k] == TX_HAIR ? closed[k] : open[k]), 1);
    }
    const gr_kernel kernel = gr_gaussian(1.2F);
    gr_blur(open, n, &kernel, room, open);
    for (size_t k = 0; k < sheet->count; k++) {
        const float weight = sheet->weight[k];
        const float share = weight > 0.02F ? (open[k] > 1 - FAINT ? 1 : open[k]) : 0;
        /* The mouth is narrow: nothing of it is taken off, so that teeth stay. */
        const float mouth = sheet->in->mouth[k] ? least(2 * weight, 1) : 0;
        sheet->own[k] = most(share, mouth);
    }
}

/* Whether a cell shows hair, or in its place skin. */
static int is_seen_hair(const tx_sheet *sheet, size_t k) {
    return sheet->in->groups[k] == TX_HAIR && sheet->weight[k] > 0.5F;
}

/* The middle of a colour's channel where hair is seen that is less like the skin than ``most``; 0
   if none is. */
static float usual_hair(const tx_sheet *sheet, const float *skin, float most_skin, int channel) {
    enum { STEPS = 32, BINS = 256 * STEPS };
    uint32_t found[BINS] = {0}, count = 0;
    for (size_t k = 0; k < sheet->count; k++) {
        if (!is_seen_hair(sheet, k) || !(skin[k] < most_skin)) continue;
        found[(size_t)clipped(STEPS * sheet->mean[channel][k], 0, BINS - 1)]++;
        count++;
    }
    uint32_t below = 0;
    size_t bin = 0;
    while (bin + 1 < BINS && 2 * (below + found[bin]) < count) below += found[bin++];
    return count ? ((float)bin + 0.5F) / STEPS : 0;
}

/* Mean of colours in a group, or in all (-1), that are shares of ``total``. Fails where less than
   half of a cell is seen. */
static int mean_of(const tx_sheet *sheet, const float *const colours[3], const float *total,
                   int group, float mean[3]) {
    double sums[3] = {0, 0, 0}, weight = 0;
    for (size_t k = 0; k < sheet->count; k++) {
        if (group >= 0 && sheet->in->groups[k] != group) continue;
        weight += (double)total[k];
        for (int i = 0; i < 3; i++) sums[i] += (double)colours[i][k];
    }
    if (weight < 0.5) return 0;
    for (int i = 0; i < 3; i++) mean[i] = (float)(sums[i] / weight);
    return 1;
}

/* How much a colour is like the usual one, 0 to 1. */
static float likeness(const float colour[3], const float usual[3], const float limits[3]) {
    float ratio[3], apart = 0;
    for (int i = 0; i < 3; i++) ratio[i] = logf((colour[i] + TX_FLOOR) / (usual[i] + TX_FLOOR));
    const float light = (ratio[0] + ratio[1] + ratio[2]) / 3;
    for (int i = 0; i < 3; i++) apart = most(apart, fabsf(ratio[i] - light));
    const float near = least((limits[0] - apart) / limits[0],
                             least((limits[1] - light) / limits[1],
                                   (light + limits[2]) / limits[2]));
    return clipped(3 * near, 0, 1);
}

/* Set how alike the cells of a group are to a colour, 1 elsewhere, and the least beside each. */
static void compare(const tx_sheet *sheet, int group, const float usual[3], const float limits[3],
                    float *like, float *around) {
    const float none[3] = {0, 0, 0}, unseen = likeness(none, usual, limits);
    for (size_t k = 0; k < sheet->count; k++) {
        const float colour[3] = {sheet->mean[0][k], sheet->mean[1][k], sheet->mean[2][k]};
        like[k] = sheet->in->groups[k] != group ? 1
                  : sheet->weight[k] > 0        ? likeness(colour, usual, limits)
                                                : unseen;
    }
    gr_erode(like, sheet->side, sheet->room, around);
}

/* Take off what is not hair. Skin is shown where the photo shows it, but not elsewhere: the volume
   of hair may reach over it. */
static void keep_hair(const tx_sheet *sheet, const float *face) {
    float *skin = sheet->room + sheet->count, *like = skin + sheet->count;
    float *around = like + sheet->count, *wide = around + sheet->count, usual[3];
    size_t seen = 0, unlike = 0;
    for (size_t k = 0; k < sheet->count; k++) {
        if (sheet->in->groups[k] != TX_HAIR) continue;
        const float colour[3] = {sheet->mean[0][k], sheet->mean[1][k], sheet->mean[2][k]};
        skin[k] = face && sheet->weight[k] > 0 ? likeness(colour, face, LIKE_SKIN) : 0;
        seen += is_seen_hair(sheet, k) != 0;
        unlike += is_seen_hair(sheet, k) && skin[k] < 0.5F;
    }
    const float most_skin = (float)unlike < LEAST_UNLIKE * (float)seen ? 2 : 0.5F;
    for (int i = 0; i < 3; i++) usual[i] = usual_hair(sheet, skin, most_skin, i);
    if (!(usual[0] > 0)) return;
    compare(sheet, TX_HAIR, usual, LIKE_HAIR, like, around);
    for (size_t k = 0; k < sheet->count; k++)
        if (sheet->in->groups[k] == TX_HAIR) like[k] = most(like[k], skin[k]);
    const gr_kernel kernel = {1, {1.0F / 3, 1.0F / 3}};
    gr_blur(like, sheet->side, &kernel, sheet->room, wide);
    for (size_t k = 0; k < sheet->count; k++) {
        if (sheet->in->groups[k] != TX_HAIR) continue;
        /* Cells beside the background have some of it, so of those less is taken. */
        const float shown = like[k] * clipped(2 * wide[k] - 1, 0, 1);
        sheet->source[k] = sheet->own[k] * least(around[k], shown);
        sheet->own[k] *= shown;
    }
}

/* Take off the shares of neck and hair whose colours are not the head's. */
static void keep_head(const tx_sheet *sheet) {
    float *weighted[3], face[3];
    for (int i = 0; i < 3; i++) {
        weighted[i] = sheet->room + sheet->count * (size_t)i;
        for (size_t k = 0; k < sheet->count; k++)
            weighted[i][k] = sheet->weight[k] * sheet->mean[i][k];
    }
    const float *const colours[3] = {weighted[0], weighted[1], weighted[2]};
    const int known = mean_of(sheet, colours, sheet->weight, TX_SKIN, face);
    if (known) {
        float *like = sheet->room + sheet->count, *around = like + sheet->count;
        compare(sheet, TX_NECK, face, LIKE_FACE, like, around);
        for (size_t k = 0; k < sheet->count; k++)
            if (sheet->in->groups[k] == TX_NECK) sheet->own[k] *= around[k];
    }
    memcpy(sheet->source, sheet->own, sheet->count * sizeof *sheet->own);
    keep_hair(sheet, known ? face : NULL);
}

/* Set what is seen of each cell without its light: own colours that others may take, and those of
   the mirrored place. */
static WIDE void set_seen(const tx_sheet *sheet) {
    const size_t n = sheet->side, count = sheet->count;
    float *bright = sheet->room, *ratio = bright + count, *both = ratio + count;
    float *room = both + count;
    for (size_t k = 0; k < count; k++) {
        const float product = (sheet->mean[0][k] + TX_FLOOR) * (sheet->mean[1][k] + TX_FLOOR) *
                              (sheet->mean[2][k] + TX_FLOOR);
        bright[k] = product;
    }
    for (size_t k = 0; k < count; k++)
        bright[k] = sheet->source[k] > 0 ? logf(bright[k]) / 3 - sheet->light[k] : 0;
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
            /* Scalp and hair lie side by side on the head, but not in the atlas. */
            else if (group == TX_HAIR) *to = colour[i] + EVEN * (hair[count * i + k] - colour[i]);
            else *to = colour[i];
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
    const tx_sheet sheet = {
        .in = in, .side = in->side, .count = count,
        .weight = room, .mean = {room + count, room + 2 * count, room + 3 * count},
        .own = room + 4 * count, .mirrored = room + 5 * count, .light = room + 6 * count,
        .source = room + 7 * count, .seen = room + 8 * count, .filled = room + 12 * count,
        .room = room + 15 * count};
    set_mean(&sheet);
    set_trusted(&sheet);
    keep_head(&sheet);
    tx_light(in, sheet.mean, sheet.own, sheet.room, sheet.light);
    set_seen(&sheet);
    set_spread(&sheet);
    write_plan(&sheet, plan);
    free(room);
    return 1;
}
